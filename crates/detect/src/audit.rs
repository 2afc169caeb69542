//! Windows' audit policy, as far as its events tell: which subcategory of it each event of the
//! Security log is of.
//!
//! The policy itself can't be asked for over the protocols that events come by. Its effects can be
//! seen: an event says by its task which subcategory it is of, and what is turned on or off is an
//! event too (4719). That a subcategory has no events doesn't say that it is off.

use quarry_event::text::Plain;
use quarry_event::{Field, FieldSource, Value};

/// A subcategory of the audit policy.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subcategory {
    /// Its English name, as `auditpol /get /category:*` shows it.
    pub name: &'static str,
    /// The task of its events (the manifest of Microsoft-Windows-Security-Auditing).
    pub task: u16,
    /// The last byte of the first group of its GUID, `{0CCE92xx-69AE-11D9-BED3-505054503030}`
    /// (MS-GPAC 2.2.1.2).
    guid: u8,
    /// Its events ("Advanced security audit policy settings", and recorded logs where they say more);
    /// some are of several subcategories.
    ids: &'static [(u32, u32)],
}

/// What the log says was done to the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyChange {
    /// The subcategory; nothing for one that isn't known here.
    pub subcategory: Option<&'static Subcategory>,
    /// In words: `Success added`.
    pub what: String,
}

impl Subcategory {
    /// All subcategories, in the order of their categories.
    pub fn all() -> &'static [Subcategory] {
        SUBCATEGORIES
    }

    /// The subcategory of events with a task.
    pub fn of_task(task: u64) -> Option<&'static Subcategory> {
        SUBCATEGORIES.iter().find(|one| u64::from(one.task) == task)
    }

    /// The subcategories that have events with an id.
    pub fn of_id(id: u64) -> impl Iterator<Item = &'static Subcategory> {
        SUBCATEGORIES.iter().filter(move |one| one.has(id))
    }

    /// The subcategory of a GUID, with or without braces.
    pub fn of_guid(text: &str) -> Option<&'static Subcategory> {
        let text = text.trim_matches(['{', '}']).to_ascii_lowercase();
        let last = text.strip_prefix("0cce92")?.strip_suffix("-69ae-11d9-bed3-505054503030")?;
        let byte = u8::from_str_radix(last, 16).ok().filter(|_| last.len() == 2)?;
        SUBCATEGORIES.iter().find(|one| one.guid == byte)
    }

    /// Whether it has events with an id.
    pub fn has(&self, id: u64) -> bool {
        self.ids.iter().any(|&(first, last)| (u64::from(first)..=u64::from(last)).contains(&id))
    }
}

impl PolicyChange {
    /// The id of events that report a change of the policy of the system.
    pub const ID: u32 = 4719;

    /// What an event tells; nothing of one with another id.
    pub fn of(event: &impl FieldSource) -> Option<Self> {
        if event.field(Field::EventId).as_u64() != Some(Self::ID.into()) {
            return None;
        }
        let (mut guid, mut changes) = (String::new(), String::new());
        let _ = event.each_data(|name, value| {
            let text = |value: &Value<'_>| {
                let mut text = Vec::new();
                value.push::<Plain>(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            };
            match name.map(|name| name.as_str().to_owned()).as_deref() {
                Some("SubcategoryGuid") => guid = text(&value),
                Some("AuditPolicyChanges") => changes = text(&value),
                _ => {}
            }
            std::ops::ControlFlow::Continue(())
        });
        let words = changes.split(',').map(|one| match one.trim() {
            "%%8448" => "success removed",
            "%%8449" => "success added",
            "%%8450" => "failure removed",
            "%%8451" => "failure added",
            _ => "changed",
        });
        let mut what: Vec<&str> = words.collect();
        what.dedup();
        Some(PolicyChange { subcategory: Subcategory::of_guid(&guid), what: what.join(", ") })
    }
}

const fn sub(name: &'static str, task: u16, guid: u8, ids: &'static [(u32, u32)]) -> Subcategory {
    Subcategory { name, task, guid, ids }
}

const fn one(id: u32) -> (u32, u32) {
    (id, id)
}

#[rustfmt::skip]
static SUBCATEGORIES: &[Subcategory] = &[
    sub("Security State Change", 12288, 0x10, &[(4608, 4609), one(4616), one(4621)]),
    sub("Security System Extension", 12289, 0x11, &[(4610, 4611), one(4614), one(4622), one(4697)]),
    sub("System Integrity", 12290, 0x12, &[one(4612), one(4615), one(4618), one(4816), one(5038), (5056, 5057), (5060, 5062), (5888, 5890), one(6281), one(6410)]),
    sub("IPsec Driver", 12291, 0x13, &[(4960, 4963), one(4965), (5478, 5480), (5483, 5485)]),
    sub("Other System Events", 12292, 0x14, &[(5024, 5025), (5027, 5030), (5032, 5035), one(5037), (5058, 5059), one(5071), (6400, 6409)]),
    sub("Logon", 12544, 0x15, &[(4624, 4625), one(4648), one(4675)]),
    sub("Logoff", 12545, 0x16, &[one(4634), one(4647)]),
    sub("Account Lockout", 12546, 0x17, &[one(4625)]),
    sub("IPsec Main Mode", 12547, 0x18, &[one(4646), (4650, 4653), one(4655), one(4976), one(5049), one(5453)]),
    sub("Special Logon", 12548, 0x1b, &[one(4672), one(4964)]),
    sub("IPsec Quick Mode", 12549, 0x19, &[one(4654), one(4977), (5451, 5452)]),
    sub("IPsec Extended Mode", 12550, 0x1a, &[(4978, 4984)]),
    sub("Other Logon/Logoff Events", 12551, 0x1c, &[one(4649), (4778, 4779), one(4825), (4800, 4803), one(5378), (5632, 5633)]),
    sub("Network Policy Server", 12552, 0x43, &[(6272, 6280)]),
    sub("User / Device Claims", 12553, 0x47, &[one(4626)]),
    sub("Group Membership", 12554, 0x49, &[one(4627)]),
    sub("File System", 12800, 0x1d, &[one(4656), one(4658), one(4660), (4663, 4664), one(4670), one(4985), one(5051)]),
    sub("Registry", 12801, 0x1e, &[(4656, 4658), one(4660), one(4663), one(4670), one(5039)]),
    sub("Kernel Object", 12802, 0x1f, &[(4656, 4656), one(4658), (4659, 4660), one(4663)]),
    sub("SAM", 12803, 0x20, &[one(4656), one(4658), (4659, 4661), one(4663)]),
    sub("Other Object Access Events", 12804, 0x27, &[one(4658), one(4660), one(4671), one(4691), (4698, 4702), (5148, 5149), (5888, 5890)]),
    sub("Certification Services", 12805, 0x21, &[(4868, 4900), (5120, 5127)]),
    sub("Application Generated", 12806, 0x22, &[(4665, 4668)]),
    sub("Handle Manipulation", 12807, 0x23, &[one(4656), one(4658), one(4690)]),
    sub("File Share", 12808, 0x24, &[one(5140), (5142, 5144), one(5168)]),
    sub("Filtering Platform Packet Drop", 12809, 0x25, &[(5152, 5153)]),
    sub("Filtering Platform Connection", 12810, 0x26, &[one(5031), (5150, 5151), (5154, 5159)]),
    sub("Detailed File Share", 12811, 0x44, &[one(5145)]),
    sub("Removable Storage", 12812, 0x45, &[one(4656), one(4658), one(4663)]),
    sub("Central Policy Staging", 12813, 0x46, &[one(4818)]),
    sub("Sensitive Privilege Use", 13056, 0x28, &[(4673, 4674), one(4985)]),
    sub("Non Sensitive Privilege Use", 13057, 0x29, &[(4673, 4674), one(4985)]),
    sub("Other Privilege Use Events", 13058, 0x2a, &[one(4985)]),
    sub("Process Creation", 13312, 0x2b, &[one(4688), one(4696)]),
    sub("Process Termination", 13313, 0x2c, &[one(4689)]),
    sub("DPAPI Activity", 13314, 0x2d, &[(4692, 4695)]),
    sub("RPC Events", 13315, 0x2e, &[one(5712)]),
    sub("Plug and Play Events", 13316, 0x48, &[one(6416), (6419, 6424)]),
    sub("Token Right Adjusted Events", 13317, 0x4a, &[one(4703)]),
    sub("Audit Policy Change", 13568, 0x2f, &[one(4715), one(4719), one(4817), one(4902), (4904, 4908), one(4912)]),
    sub("Authentication Policy Change", 13569, 0x30, &[(4706, 4707), one(4713), (4716, 4718), one(4739), (4864, 4867)]),
    sub("Authorization Policy Change", 13570, 0x31, &[(4703, 4705), (4670, 4670), one(4714), one(4911), one(4913)]),
    sub("MPSSVC Rule-Level Policy Change", 13571, 0x32, &[(4944, 4954), (4956, 4958)]),
    sub("Filtering Platform Policy Change", 13572, 0x33, &[(4709, 4712), (5040, 5048), (5440, 5444), one(5446), (5448, 5450), (5456, 5468), (5471, 5474), one(5477)]),
    sub("Other Policy Change Events", 13573, 0x34, &[one(4714), one(4819), one(4826), (4909, 4910), (5063, 5070), one(5447), (6144, 6145)]),
    sub("User Account Management", 13824, 0x35, &[one(4720), (4722, 4726), one(4738), one(4740), (4765, 4767), (4780, 4781), one(4794), one(4798), (5376, 5377), (5379, 5382)]),
    sub("Computer Account Management", 13825, 0x36, &[(4741, 4743)]),
    sub("Security Group Management", 13826, 0x37, &[(4727, 4735), one(4737), (4754, 4758), one(4764), one(4799)]),
    sub("Distribution Group Management", 13827, 0x38, &[(4744, 4753), (4759, 4763)]),
    sub("Application Group Management", 13828, 0x39, &[(4783, 4792)]),
    sub("Other Account Management Events", 13829, 0x3a, &[one(4782), one(4793)]),
    sub("Directory Service Access", 14080, 0x3b, &[(4661, 4662)]),
    sub("Directory Service Changes", 14081, 0x3c, &[(5136, 5139), one(5141), (5169, 5170)]),
    sub("Directory Service Replication", 14082, 0x3d, &[(4932, 4933)]),
    sub("Detailed Directory Service Replication", 14083, 0x3e, &[(4928, 4931), (4934, 4937)]),
    sub("Credential Validation", 14336, 0x3f, &[(4774, 4777)]),
    sub("Kerberos Service Ticket Operations", 14337, 0x40, &[(4769, 4770), one(4773)]),
    sub("Other Account Logon Events", 14338, 0x41, &[]),
    sub("Kerberos Authentication Service", 14339, 0x42, &[one(4768), (4771, 4772)]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use quarry_event::testing::event;

    use super::*;

    #[test]
    fn no_two_subcategories_have_a_task_a_guid_or_a_name_in_common() {
        let all = Subcategory::all();
        assert_eq!(all.iter().map(|one| one.task).collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(all.iter().map(|one| one.guid).collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(all.iter().map(|one| one.name).collect::<BTreeSet<_>>().len(), all.len());
        // As many as there are in MS-GPAC 2.2.1.2, whose GUIDs go from 10 to 4a.
        let guids: BTreeSet<u8> = all.iter().map(|one| one.guid).collect();
        assert_eq!(guids, (0x10..=0x4a).collect());
        assert!(all.iter().flat_map(|one| one.ids).all(|(first, last)| first <= last));
    }

    #[test]
    fn a_change_of_the_policy_is_told_in_words() {
        // As in a recorded log of Windows Server 2016.
        let change = event(
            "<Event><System><EventID>4719</EventID></System><EventData>\
             <Data Name='CategoryId'>%%8274</Data><Data Name='SubcategoryId'>%%12804</Data>\
             <Data Name='SubcategoryGuid'>{0CCE9227-69AE-11D9-BED3-505054503030}</Data>\
             <Data Name='AuditPolicyChanges'>%%8449, %%8451</Data></EventData></Event>",
        );
        let change = PolicyChange::of(&change).expect("a change");
        assert_eq!(change.subcategory.map(|one| one.task), Some(12804));
        assert_eq!(change.what, "success added, failure added");
        let other = event("<Event><System><EventID>4720</EventID></System></Event>");
        assert_eq!(PolicyChange::of(&other), None);
        let bare = event("<Event><System><EventID>4719</EventID></System></Event>");
        let bare = PolicyChange::of(&bare).expect("a change");
        assert_eq!((bare.subcategory, &*bare.what), (None, "changed"));
        assert_eq!(Subcategory::of_guid("{0CCE9200-69AE-11D9-BED3-505054503030}"), None);
        assert_eq!(Subcategory::of_guid("0cce92é-69AE-11D9-BED3-505054503030"), None);
    }
}
