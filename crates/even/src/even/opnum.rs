//! The operations' numbers (3.1.4).

use std::fmt;

macro_rules! opnums {
    ($($number:literal, $name:ident;)*) => {
        /// An operation of the interface.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Opnum {
            $(#[doc = concat!("`Elfr", stringify!($name), "`.")] $name = $number,)*
        }

        impl Opnum {
            /// All that go over the wire, by number; 19 to 21 and 23 don't.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The operation's name in the interface's definition.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("Elfr", stringify!($name)),)*
                }
            }
        }
    };
}

opnums! {
    0, ClearELFW;
    1, BackupELFW;
    2, CloseEL;
    3, DeregisterEventSource;
    4, NumberOfRecords;
    5, OldestRecord;
    6, ChangeNotify;
    7, OpenELW;
    8, RegisterEventSourceW;
    9, OpenBELW;
    10, ReadELW;
    11, ReportEventW;
    12, ClearELFA;
    13, BackupELFA;
    14, OpenELA;
    15, RegisterEventSourceA;
    16, OpenBELA;
    17, ReadELA;
    18, ReportEventA;
    22, GetLogInformation;
    24, ReportEventAndSourceW;
    25, ReportEventExW;
    26, ReportEventExA;
}

impl Opnum {
    /// The operation with a number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|opnum| *opnum as u16 == number)
    }
}

impl fmt::Display for Opnum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
