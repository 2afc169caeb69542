//! The channels that a simulated server has, and how they are configured.

use quarry_even::wire::{Variant, VariantList, VariantValue};

use crate::generate::{CHANNELS, providers};

/// Channels of Windows that are about something, which the names of empty ones are made of.
const AREAS: &[&str] = &[
    "AppLocker",
    "AppModel-Runtime",
    "Audio",
    "Authentication",
    "Backup",
    "BitLocker-API",
    "Bits-Client",
    "BranchCache",
    "CAPI2",
    "CertificateServicesClient",
    "CodeIntegrity",
    "Crypto-DPAPI",
    "DeviceSetupManager",
    "Dhcp-Client",
    "DHCPv6-Client",
    "DNS-Client",
    "DSC",
    "EventCollector",
    "FailoverClustering",
    "FileServices-ServerManager",
    "Forwarding",
    "GroupPolicy",
    "HTTP Service",
    "Hyper-V-VMMS",
    "IKE",
    "Iphlpsvc",
    "Kerberos-KDC",
    "Kernel-Boot",
    "Kernel-EventTracing",
    "Kernel-IO",
    "Kernel-PnP",
    "Kernel-Power",
    "Kernel-WHEA",
    "LanguagePackSetup",
    "LSA",
    "MUI",
    "NCSI",
    "NTFS",
    "NTLM",
    "NetworkProfile",
    "OfflineFiles",
    "PowerShell",
    "PrintService",
    "RemoteApp and Desktop Connections",
    "RemoteDesktopServices-RdpCoreTS",
    "ReadyBoost",
    "Resource-Exhaustion-Detector",
    "RestartManager",
    "SMBClient",
    "SMBServer",
    "SMBWitnessClient",
    "ServerManager-MgmtProvider",
    "Shell-Core",
    "StateRepository",
    "Storage-Tiering",
    "StorageSpaces-Driver",
    "Sysmon",
    "TaskScheduler",
    "TerminalServices-LocalSessionManager",
    "TerminalServices-RemoteConnectionManager",
    "Time-Service",
    "TZSync",
    "UAC",
    "User Profile Service",
    "VHDMP",
    "Wcmsvc",
    "WindowsUpdateClient",
    "Windows Defender",
    "Windows Firewall With Advanced Security",
    "WinRM",
    "Winlogon",
    "WMI-Activity",
];
const KINDS: &[&str] = &["Operational", "Admin", "Analytic", "Debug"];

/// What a channel is for (2.2.10's `ChannelType`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChannelType {
    Admin = 0,
    Operational = 1,
    Analytic = 2,
    Debug = 3,
}

impl ChannelType {
    pub(crate) fn of(channel: &str) -> Self {
        let last = channel.rsplit('/').next().unwrap_or_default();
        match last.to_ascii_lowercase().as_str() {
            "operational" => Self::Operational,
            "analytic" => Self::Analytic,
            "debug" => Self::Debug,
            _ => Self::Admin,
        }
    }

    /// Whether its events go straight to a trace: it can't be subscribed to, nor read backwards.
    pub(crate) fn is_direct(self) -> bool {
        matches!(self, Self::Analytic | Self::Debug)
    }
}

/// The names of `count` channels without events, besides those that have some.
pub(crate) fn empty_channels(count: usize) -> Vec<String> {
    let fixed = ["Setup", "ForwardedEvents", "Windows PowerShell", "Key Management Service"];
    let named = (0..).flat_map(|round| {
        AREAS.iter().flat_map(move |area| {
            KINDS.iter().map(move |kind| match round {
                0 => format!("Microsoft-Windows-{area}/{kind}"),
                _ => format!("Microsoft-Windows-{area}-{round}/{kind}"),
            })
        })
    });
    fixed.iter().map(|name| (*name).to_owned()).chain(named).take(count).collect()
}

/// The publishers, in order.
pub(crate) fn publishers() -> Vec<String> {
    let areas = AREAS.iter().map(|area| format!("Microsoft-Windows-{area}"));
    let mut all: Vec<_> = providers().into_keys().map(str::to_owned).chain(areas).collect();
    all.sort();
    all.dedup();
    all
}

/// The publishers that write to a channel.
pub(crate) fn publishers_of(channel: &str) -> Vec<String> {
    let writes = |(_, to): &(&str, &str)| to.eq_ignore_ascii_case(channel);
    let known = providers().into_iter().filter(writes).map(|(name, _)| name.to_owned());
    match channel.split_once('/') {
        Some((publisher, _)) => vec![publisher.to_owned()],
        None => known.collect(),
    }
}

/// A channel's configuration, by `ChannelProperty` (3.1.4.21).
pub(crate) fn configuration(channel: &str) -> VariantList {
    use VariantValue::{Boolean, Null, String, UInt32, UInt64};
    let text = |text: &str| String(Some(text.into()));
    let kind = ChannelType::of(channel);
    let classic = CHANNELS.iter().any(|name| name.eq_ignore_ascii_case(channel));
    let owner = channel.split_once('/').map_or(Null, |(publisher, _)| text(publisher));
    let file = channel.replace('/', "%4");
    let path = format!("%SystemRoot%\\System32\\Winevt\\Logs\\{file}.evtx");
    let access = "O:BAG:SYD:(A;;0xf0007;;;SY)(A;;0x7;;;BA)(A;;0x1;;;S-1-5-32-573)";
    let publishers = publishers_of(channel).iter().map(|name| Some(name.as_str().into())).collect();
    let values = [
        Boolean(!kind.is_direct()),
        UInt32(0),
        UInt32(kind as u32),
        owner,
        Boolean(classic),
        text(access),
        Boolean(false),
        Boolean(false),
        UInt64(20 << 20),
        text(&path),
        Null,
        Null,
        Null,
        UInt32(64),
        UInt32(0),
        UInt32(64),
        UInt32(1000),
        UInt32(0),
        UInt32(0),
        VariantValue::StringArray(publishers),
        UInt32(1),
    ];
    VariantList(values.into_iter().map(|value| Variant { flags: 0, value }).collect())
}
