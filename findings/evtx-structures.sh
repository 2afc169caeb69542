#!/usr/bin/env bash
# The crate evtx, version 0.15.1, feature wevt_templates: the fields of a provider's template.
#
# Input: clretwrc.dll of the wheel dotnetcore2 3.1.23, the resource file of the .NET runtime's event
# provider {e13c0d23-ccbc-4e12-931b-d9cc2eee27e4}. Event 15, version 0, has a structure among its
# fields: Count, ClrInstanceID and the structure Values, of which eight fields are members. The
# manifest's source, which Microsoft publishes (ClrEtwAll.man, BulkType), names all eleven.
#
# Expected: `items` has as many as the template's own header counts (`item_name_count`).
# Seen: the header counts eleven, and `items` has the first three: members of structures are left out.
#
# Succeeds as long as that is so, and fails once it changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m pip download --quiet --disable-pip-version-check --no-deps \
    --only-binary=:all: --platform win_amd64 --dest . dotnetcore2==3.1.23
python3 - <<'PYTHON'
import glob, zipfile

wheel = zipfile.ZipFile(glob.glob("dotnetcore2-*.whl")[0])
name = next(name for name in wheel.namelist() if name.endswith("/clretwrc.dll"))
open("provider.dll", "wb").write(wheel.read(name))
PYTHON

mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "structures"
version = "0.0.0"
edition = "2024"

[dependencies]
evtx = { version = "=0.15.1", default-features = false, features = ["wevt_templates"] }

[workspace]
TOML
cat > src/main.rs <<'RUST'
use evtx::wevt_templates::extract_wevt_template_resources;
use evtx::wevt_templates::manifest::CrimManifest;

fn main() {
    let file = std::fs::read("provider.dll").unwrap();
    for resource in extract_wevt_template_resources(&file).unwrap() {
        let manifest = CrimManifest::parse(&resource.data).unwrap();
        for provider in &manifest.providers {
            let elements = &provider.wevt.elements;
            let (Some(events), Some(table)) = (&elements.events, &elements.templates) else { continue };
            for event in events.events.iter().filter(|event| event.identifier == 15) {
                let at = event.template_offset.unwrap();
                let template = table.templates.iter().find(|one| one.offset == at).unwrap();
                println!(
                    "{} of {}: {}",
                    template.items.len(),
                    template.item_name_count,
                    template.items.iter().filter_map(|item| item.name.as_deref()).collect::<Vec<_>>().join(" ")
                );
            }
        }
    }
}
RUST
said=$(cargo run --quiet)
echo "$said"
grep -qx '3 of 11: Count ClrInstanceID Values' <<< "$said"
