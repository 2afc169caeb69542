//! What an output can show of an event: the members of its JSON, which are the columns of tables
//! and CSV too, and single values of its data.

use crate::{Field, PartialSource};

/// A member of an event's JSON.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)] // Each is the member that MEMBERS names.
#[non_exhaustive]
pub enum Member {
    V,
    Time,
    Source,
    Host,
    Log,
    LogRecord,
    Recovered,
    Computer,
    Channel,
    RecordId,
    Provider,
    ProviderGuid,
    EventId,
    Qualifiers,
    Version,
    Level,
    LevelName,
    Task,
    Opcode,
    Keywords,
    UserSid,
    ProcessId,
    ThreadId,
    ActivityId,
    RelatedActivityId,
    Data,
    UserData,
    Message,
    MessageSource,
    Names,
    Rules,
    Other,
}

/// Every member with its name, in the order of JSON.
const MEMBERS: [(Member, &str); 32] = [
    (Member::V, "v"),
    (Member::Time, "time"),
    (Member::Source, "source"),
    (Member::Host, "host"),
    (Member::Log, "log"),
    (Member::LogRecord, "log_record"),
    (Member::Recovered, "recovered"),
    (Member::Computer, "computer"),
    (Member::Channel, "channel"),
    (Member::RecordId, "record_id"),
    (Member::Provider, "provider"),
    (Member::ProviderGuid, "provider_guid"),
    (Member::EventId, "event_id"),
    (Member::Qualifiers, "qualifiers"),
    (Member::Version, "version"),
    (Member::Level, "level"),
    (Member::LevelName, "level_name"),
    (Member::Task, "task"),
    (Member::Opcode, "opcode"),
    (Member::Keywords, "keywords"),
    (Member::UserSid, "user_sid"),
    (Member::ProcessId, "process_id"),
    (Member::ThreadId, "thread_id"),
    (Member::ActivityId, "activity_id"),
    (Member::RelatedActivityId, "related_activity_id"),
    (Member::Data, "data"),
    (Member::UserData, "user_data"),
    (Member::Message, "message"),
    (Member::MessageSource, "message_source"),
    (Member::Names, "names"),
    (Member::Rules, "rules"),
    (Member::Other, "other"),
];

impl Member {
    /// All members, in the order of JSON.
    pub fn all() -> impl Iterator<Item = Member> {
        MEMBERS.iter().map(|&(member, _)| member)
    }

    /// The field of `<System>` that tells the member, where nothing else does.
    #[inline]
    pub(super) fn field(self) -> Option<Field> {
        Some(match self {
            Member::Time => Field::TimeCreated,
            Member::Computer => Field::Computer,
            Member::Channel => Field::Channel,
            Member::RecordId => Field::RecordId,
            Member::Provider => Field::ProviderName,
            Member::ProviderGuid => Field::ProviderGuid,
            Member::EventId => Field::EventId,
            Member::Qualifiers => Field::Qualifiers,
            Member::Version => Field::Version,
            Member::Level => Field::Level,
            Member::Task => Field::Task,
            Member::Opcode => Field::Opcode,
            Member::Keywords => Field::Keywords,
            Member::UserSid => Field::UserId,
            Member::ProcessId => Field::ProcessId,
            Member::ThreadId => Field::ThreadId,
            Member::ActivityId => Field::ActivityId,
            Member::RelatedActivityId => Field::RelatedActivityId,
            Member::V
            | Member::LevelName
            | Member::Source
            | Member::Host
            | Member::Log
            | Member::LogRecord
            | Member::Recovered
            | Member::Data
            | Member::UserData
            | Member::Message
            | Member::MessageSource
            | Member::Names
            | Member::Rules
            | Member::Other => return None,
        })
    }

    /// Whether the member is text that an event doesn't hold itself.
    pub(super) fn shows_texts(self) -> bool {
        matches!(self, Member::Message | Member::MessageSource | Member::Names)
    }

    /// The name in JSON, in CSV's header and in `--fields`.
    #[inline]
    pub fn name(self) -> &'static str {
        MEMBERS[self as usize].1
    }
}

/// A column of a table or CSV, or a member of JSON that was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Column {
    /// A member of an event's JSON.
    Member(Member),
    /// `names.task`, `names.opcode`, `names.keywords`: one of the names in the member `names`.
    Name(Named),
    /// `data.NAME`: the values of `<EventData>` with this name, `paramN` for an unnamed one, and
    /// those of `<UserData>`; without regard to case.
    Data(String),
    /// `user_data.A.B`: the values in `<UserData>` that elements of these names lead to, from inside
    /// it; `@NAME` is an attribute. Without regard to case.
    UserData(Vec<String>),
    /// `data.*`: each value of an event as a column by its name. In JSON it is the member `data`.
    EachData,
}

/// A number of an event that has a name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Named {
    /// The task.
    Task,
    /// The opcode.
    Opcode,
    /// The keywords, each of which has a name.
    Keywords,
}

impl Named {
    /// All of them, with the names of their columns.
    const ALL: [(Named, &str); 3] = [
        (Named::Task, "names.task"),
        (Named::Opcode, "names.opcode"),
        (Named::Keywords, "names.keywords"),
    ];
}

/// The name of [`Column::EachData`].
const EACH_DATA: &str = "data.*";

/// A name that no column has.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown field `{name}`")]
pub struct UnknownColumn {
    /// The name.
    pub name: String,
    /// The known name that is nearest, if one is near.
    pub nearest: Option<&'static str>,
}

impl UnknownColumn {
    /// The names that there are, separated by commas and blanks.
    pub fn known() -> String {
        let names: Vec<_> = Member::all()
            .map(Member::name)
            .chain(Named::ALL.map(|(_, name)| name))
            .chain(["data.NAME", "data.*", "user_data.A.B"])
            .collect();
        names.join(", ")
    }
}

impl Column {
    /// The column that has the name. `id` is `event_id`.
    ///
    /// # Errors
    /// [`UnknownColumn`], with the names there are, if there is no such column.
    pub fn parse(name: &str) -> Result<Self, UnknownColumn> {
        let name = name.trim();
        if name.eq_ignore_ascii_case(EACH_DATA) {
            return Ok(Column::EachData);
        }
        if let Some((member, rest)) = name.split_once('.').filter(|(_, rest)| !rest.is_empty()) {
            if member.eq_ignore_ascii_case("data") {
                return Ok(Column::Data(rest.to_owned()));
            }
            if member.eq_ignore_ascii_case("user_data") && rest.split('.').all(|n| !n.is_empty()) {
                return Ok(Column::UserData(rest.split('.').map(str::to_owned).collect()));
            }
        }
        if let Some((named, _)) =
            Named::ALL.iter().find(|(_, known)| known.eq_ignore_ascii_case(name))
        {
            return Ok(Column::Name(*named));
        }
        if name.eq_ignore_ascii_case("id") {
            return Ok(Column::Member(Member::EventId));
        }
        match Member::all().find(|member| member.name().eq_ignore_ascii_case(name)) {
            Some(member) => Ok(Column::Member(member)),
            None => Err(UnknownColumn { name: name.to_owned(), nearest: nearest(name) }),
        }
    }

    /// Whether the column's value is told by what [`PartialSource`] knows.
    pub(super) fn is_known_early(&self) -> bool {
        match self {
            Column::Member(member) => !matches!(
                member,
                Member::Data
                    | Member::UserData
                    | Member::Message
                    | Member::MessageSource
                    | Member::Names
                    | Member::Other
            ),
            Column::Data(name) => !super::json::may_be_a_place(name),
            Column::Name(_) | Column::UserData(_) | Column::EachData => false,
        }
    }

    /// The fields of `<System>` that tell the column's value, where nothing else does.
    pub fn fields(&self) -> Option<Vec<Field>> {
        match self {
            Column::Member(Member::V) => Some(Vec::new()),
            Column::Member(Member::LevelName) => Some(vec![Field::Level, Field::Keywords]),
            Column::Member(member) => Some(vec![member.field()?]),
            Column::Name(_) | Column::Data(_) | Column::UserData(_) | Column::EachData => None,
        }
    }

    /// Whether the column's value is the same for all events of the event's kind.
    pub(super) fn is_fixed<S: PartialSource>(&self, source: &S) -> bool {
        self.fields().is_some_and(|fields| fields.iter().all(|&field| source.is_fixed(field)))
    }

    /// What its values have a name for, where it is a member with numbers.
    pub fn named(&self) -> Option<Named> {
        match self {
            Column::Member(Member::Task) => Some(Named::Task),
            Column::Member(Member::Opcode) => Some(Named::Opcode),
            Column::Member(Member::Keywords) => Some(Named::Keywords),
            _ => None,
        }
    }

    /// The name of the value that it shows, without `data.` or `user_data.`.
    pub(super) fn data_name(&self) -> Option<String> {
        match self {
            Column::Data(name) => Some(name.clone()),
            Column::UserData(path) => Some(path.join(".")),
            Column::Member(_) | Column::Name(_) | Column::EachData => None,
        }
    }

    /// The column's name, which [`parse`](Self::parse) reads.
    pub fn name(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Column::Member(member) => member.name().into(),
            Column::Name(named) => Named::ALL[*named as usize].1.into(),
            Column::Data(name) => format!("data.{name}").into(),
            Column::UserData(path) => format!("user_data.{}", path.join(".")).into(),
            Column::EachData => EACH_DATA.into(),
        }
    }
}

/// The known name with the fewest edits, where these are at most a third of its letters.
fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > 40 {
        return None;
    }
    let name = name.to_ascii_lowercase().replace('-', "_");
    Member::all()
        .map(|member| (distance(&name, member.name()), member.name()))
        .min()
        .filter(|(edits, known)| *edits < name.len() && *edits <= known.len().max(3) / 3)
        .map(|(_, known)| known)
}

/// The edits (insert, remove, replace) that make one text of the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_members() {
        for (i, member) in Member::all().enumerate() {
            assert_eq!(member as usize, i);
            assert_eq!(Column::parse(member.name()), Ok(Column::Member(member)));
        }
    }

    #[test]
    fn a_value_of_the_data_is_named_behind_a_dot() {
        let column = Column::parse("data.TargetUserName").unwrap();
        assert_eq!(column, Column::Data("TargetUserName".into()));
        assert_eq!(column.name(), "data.TargetUserName");
        assert!(Column::parse("data.").is_err());
        let column = Column::parse("User_Data.LogFileCleared.SubjectUserName").unwrap();
        let path = ["LogFileCleared", "SubjectUserName"].map(str::to_owned);
        assert_eq!(column, Column::UserData(path.to_vec()));
        assert_eq!(column.name(), "user_data.LogFileCleared.SubjectUserName");
        assert!(Column::parse("user_data.a..b").is_err());
        assert_eq!(Column::parse("Time"), Ok(Column::Member(Member::Time)));
        assert_eq!(Column::parse("id"), Ok(Column::Member(Member::EventId)));
        assert_eq!(Column::parse("names.Opcode"), Ok(Column::Name(Named::Opcode)));
        assert_eq!(Column::Name(Named::Keywords).name(), "names.keywords");
        assert!(Column::parse("names.level").is_err());
        assert_eq!(Column::parse("data.*"), Ok(Column::EachData));
        assert_eq!(Column::EachData.name(), "data.*");
    }

    #[test]
    fn a_name_that_is_nearly_right_is_put_right() {
        let nearest = |name| Column::parse(name).unwrap_err().nearest;
        assert_eq!(nearest("mesage"), Some("message"));
        assert_eq!(nearest("Event-ID"), Some("event_id"));
        assert_eq!(nearest("levelname"), Some("level_name"));
        assert_eq!(nearest("colour"), None);
        assert_eq!(nearest(""), None);
        assert!(UnknownColumn::known().starts_with("v, time, source, "));
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }
}
