//! What must hold for the samples on every machine, with a Wasm toolchain or without.

use super::*;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("ci/xtask lies two folders deep").to_path_buf()
}

fn silent(repository: &Path) -> Options<'_> {
    Options { repository, only: &[], install: false, progress: &|_| () }
}

#[test]
fn every_committed_module_is_the_one_of_the_manifest_and_of_its_sources() {
    let repository = repository();
    let record = Manifest::read(&repository).unwrap();
    for sample in chosen(&[]).unwrap() {
        let entry = record.entry(sample.name).unwrap_or_else(|| panic!("{} is in the manifest", sample.name));
        let module = fs::read(prebuilt(&repository, sample.name)).unwrap();
        assert_eq!(manifest::sha256(&module), entry.sha256, "{}", sample.name);
        assert_eq!(module.len(), entry.bytes, "{}", sample.name);
        assert_eq!(source_digest(&repository, sample).unwrap(), entry.source_sha256, "{} is out of date", sample.name);
        let app = fs::read_to_string(app_file(&repository, sample)).unwrap_or_default();
        let packed = [("atoll.app", !app.is_empty()), ("atoll.files", app.contains("\nfiles = "))];
        let expected: Vec<_> = packed.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect();
        assert_eq!(custom_sections(&module), expected, "{}", sample.name);
    }
}

fn custom_sections(module: &[u8]) -> Vec<String> {
    let payloads = wasmparser::Parser::new(0).parse_all(module);
    let names = payloads.filter_map(|payload| match payload.unwrap() {
        wasmparser::Payload::CustomSection(section) => Some(section.name().to_owned()),
        _ => None,
    });
    names.collect()
}

#[test]
fn every_module_in_the_folder_has_a_source() {
    for path in files_below(&examples(&repository()).join("prebuilt")).unwrap() {
        if path.extension().is_some_and(|extension| extension == "wasm") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let known = SAMPLES.iter().any(|sample| sample.committed && sample.name == name);
            assert!(known, "{name}.wasm has no sample");
        }
    }
}

#[test]
fn the_samples_in_wat_rebuild_to_the_committed_bytes() {
    let repository = repository();
    let only: Vec<String> =
        SAMPLES.iter().filter(|sample| sample.recipe == Recipe::Text).map(|sample| sample.name.to_owned()).collect();
    let report = rebuild_and_compare(Options { only: &only, ..silent(&repository) }).unwrap();
    assert_eq!(report.passed(), only.len(), "{:?}", report.outcomes);
}

#[test]
fn a_changed_module_a_changed_source_and_an_unknown_module_are_found() {
    let repository = repository();
    let copy = tempfile::tempdir().unwrap();
    for path in ["examples/spin/spin.wat", "examples/prebuilt/spin.wasm", "examples/prebuilt/MANIFEST.toml"] {
        write(&copy.path().join(path), &read(&repository.join(path)).unwrap()).unwrap();
    }
    fs::create_dir_all(copy.path().join("examples/hostile")).unwrap();
    let only = [String::from("spin")];
    let check = || rebuild_and_compare(Options { only: &only, ..silent(copy.path()) }).unwrap();
    assert_eq!(check().passed(), 1);

    let source = copy.path().join("examples/spin/spin.wat");
    let text = fs::read_to_string(&source).unwrap();
    fs::write(&source, text.replace("br $for-ever", "nop")).unwrap();
    assert!(check().outcomes[0].to_string().contains("sources changed"));
    fs::write(&source, text).unwrap();

    let module = prebuilt(copy.path(), "spin");
    let mut bytes = fs::read(&module).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&module, bytes).unwrap();
    assert!(check().outcomes[0].to_string().contains("not the module of the manifest"));

    fs::remove_file(copy.path().join("examples/prebuilt/MANIFEST.toml")).unwrap();
    assert!(check().outcomes[0].to_string().contains("does not know it"));
    assert_eq!(check().failed(), 1);
}

#[test]
fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
    let repository = repository();
    let only = [String::from("blinky")];
    let error = build(Options { only: &only, ..silent(&repository) }).unwrap_err().to_string();
    assert!(error.contains("`blinky`") && error.contains("blinker"), "{error}");
}

#[test]
fn hostile_modules_assemble_say_what_to_expect_and_only_one_is_invalid() {
    let repository = repository();
    let mut invalid = Vec::new();
    for path in files_below(&examples(&repository).join("hostile")).unwrap() {
        if path.extension().is_none_or(|extension| extension != "wat") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(text.starts_with(";; ") && text.contains("\n;; Expect: "), "{} says what it is", path.display());
        if wasmparser::Validator::new().validate_all(&module).is_err() {
            invalid.push(path.file_stem().unwrap().to_string_lossy().into_owned());
        }
    }
    assert_eq!(invalid, ["invalid-code"]);
}

#[test]
fn a_comment_in_the_interface_changes_nothing_and_a_function_does() {
    let before = "/// Old words.\ninterface a {\n    now: func() -> u64;\n}\n";
    let after = "/// New words.\n\ninterface a {\n  // More.\n  now: func() -> u64;\n}";
    assert_eq!(without_comments(before), without_comments(after));
    assert_ne!(without_comments(before), without_comments(&before.replace("u64", "u32")));
}

#[test]
fn lengths_of_sections_survive_at_each_number_of_bytes() {
    // A data section just below and above 127 and 16,383 bytes: one, two and three bytes of length.
    for length in [1, 100, 127, 128, 16_300, 16_400] {
        let text = format!("(module (memory 1) (data (i32.const 0) \"{}\") (@custom \"x\" \"y\"))", "a".repeat(length));
        let module = wat::parse_str(text).unwrap();
        let kept = shrink::without_custom_sections(&module).unwrap();
        assert_eq!(kept.len() + 5, module.len(), "only the custom section of five bytes is gone");
    }
}
