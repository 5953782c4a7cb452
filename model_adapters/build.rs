//! Says where libtorch lies: to this crate's own tests as an rpath, to the root package's build script as metadata.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
        println!("cargo::metadata=lib={lib}");
    }
}
