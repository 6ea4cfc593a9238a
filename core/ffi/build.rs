//! What a C program needs to find the library where cargo has put it: a file for
//! pkg-config, and the name that the loader asks for, which has the ABI version in
//! it. `install` puts both where a system has them.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/version.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return Ok(());
    }
    let crate_ = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let soname = format!("libprobity.so.{}", abi(&crate_)?);
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,{soname}");
    // .../target/debug/build/probity-ffi-0123/out: libraries are three up.
    let out = PathBuf::from(variable("OUT_DIR"));
    let folder = out.ancestors().nth(3).expect("it is in target/*/build");
    let link = folder.join(soname);
    if fs::read_link(&link).is_err() {
        std::os::unix::fs::symlink("libprobity.so", link)?;
    }
    let text = pkg_config(folder, &crate_.join("include"));
    fs::write(folder.join("probity.pc"), text)
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// The number that `src/version.rs` says.
fn abi(crate_: &Path) -> io::Result<u32> {
    let text = fs::read_to_string(crate_.join("src/version.rs"))?;
    let mut lines = text.lines();
    let number = lines.find_map(|line| {
        let number = line.strip_prefix("pub const PROBITY_ABI_VERSION: u32 = ")?;
        number.strip_suffix(';')?.parse().ok()
    });
    Ok(number.expect("version.rs has the ABI version"))
}

/// The libraries after `Libs.private` are those of the standard library of Rust.
fn pkg_config(library: &Path, include: &Path) -> String {
    format!(
        "libdir={}\nincludedir={}\n\nName: probity\nDescription: Health checks at scale\n\
         Version: {}\nLibs: -L${{libdir}} -lprobity\n\
         Libs.private: -lgcc_s -lutil -lrt -lpthread -lm -ldl\n\
         Cflags: -I${{includedir}}\n",
        library.display(),
        include.display(),
        variable("CARGO_PKG_VERSION"),
    )
}
