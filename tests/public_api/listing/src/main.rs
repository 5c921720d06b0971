//! Prints a line for each public item in the JSON file that rustdoc has written.

/// Traits that a type has by its fields and that the crate does not promise. It promises `Send` and `Sync`.
const NOT_PROMISED: [&str; 5] = [
    "Freeze",
    "RefUnwindSafe",
    "StructuralPartialEq",
    "Unpin",
    "UnwindSafe",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let json = std::env::args_os()
        .nth(1)
        .ok_or("usage: public-api-listing JSON")?;
    let api = public_api::Builder::from_rustdoc_json(json)
        .sorted(true)
        .omit_blanket_impls(true)
        .build()?;
    for item in api.items() {
        let line = item.to_string();
        let is_promised = |name: &&str| !line.contains(&format!("::{name} for "));
        if !line.starts_with("impl") || NOT_PROMISED.iter().all(|name| is_promised(&name)) {
            println!("{line}");
        }
    }
    Ok(())
}
