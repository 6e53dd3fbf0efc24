//! Tells the crate whether a built web UI is there to be embedded.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(has_ui)");
    // While there is no UI, cargo looks again at every build.
    println!("cargo::rerun-if-changed=../../ui/dist");
    if std::fs::metadata("../../../ui/dist/index.html").is_ok_and(|file| file.is_file()) {
        println!("cargo::rustc-cfg=has_ui");
    }
}
