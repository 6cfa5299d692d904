//! Which files are read, and which are not.

use super::*;
use crate::onnx::testing::Folder;

fn entries(pairs: &[(&str, &str)]) -> Vec<StringStringEntryProto> {
    let entry =
        |&(key, value): &(&str, &str)| StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) };
    pairs.iter().map(entry).collect()
}

fn read_from(folder: &Path, pairs: &[(&str, &str)], expected: u64) -> Result<Vec<u8>> {
    elements(folder, &entries(pairs), expected, &mut Budget::new("files", 100), "tensor t")
}

fn why(result: Result<Vec<u8>>) -> String {
    match result {
        Err(Error::Format { why, .. } | Error::File { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_part_of_a_file_is_read() {
    let folder = Folder::new();
    folder.write("w.bin", &[0, 1, 2, 3, 4, 5]);
    std::fs::create_dir(folder.0.join("deeper")).unwrap();
    folder.write("deeper/w.bin", &[9]);
    let read = |pairs: &[(&str, &str)], expected| read_from(&folder.0, pairs, expected);
    let location = ("location", "w.bin");
    assert_eq!(read(&[location], 6).unwrap(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(read(&[location, ("offset", "2"), ("length", "3"), ("checksum", "?")], 3).unwrap(), [2, 3, 4]);
    assert_eq!(read(&[location, ("offset", "5")], 1).unwrap(), [5]);
    assert!(read(&[location, ("offset", "6")], 0).unwrap().is_empty());
    assert_eq!(read(&[("location", "./deeper/w.bin")], 1).unwrap(), [9]);
}

#[test]
fn parts_stay_within_their_file_and_have_the_length_that_is_expected() {
    let folder = Folder::new();
    folder.write("w.bin", &[0; 6]);
    let read = |pairs: &[(&str, &str)], expected| {
        let pairs = [&[("location", "w.bin")], pairs].concat();
        why(read_from(&folder.0, &pairs, expected))
    };
    assert!(read(&[], 7).contains("leave w.bin, which has 6"));
    assert!(read(&[("offset", "1")], 6).contains("leave"));
    assert!(read(&[("offset", &u64::MAX.to_string())], 6).contains("leave"));
    assert!(read(&[("length", "5")], 6).contains("needs 6"));
    for text in ["-1", "x", "", "1.0", "18446744073709551616"] {
        assert!(read(&[("offset", text)], 6).contains("offset"), "{text}");
    }
    assert!(read(&[("offset", "0"), ("offset", "1")], 1).contains("two values of offset"));
    assert!(why(read_from(&folder.0, &[], 1)).contains("no location"));
    let mut budget = Budget::new("files", 5);
    let result = elements(&folder.0, &entries(&[("location", "w.bin")]), 6, &mut budget, "t");
    assert_eq!(result, Err(Error::Limit { what: "files", needed: 6, limit: 5 }));
}

#[test]
fn files_outside_the_folder_are_not_read() {
    let outer = Folder::new();
    outer.write("secret", &[1; 6]);
    let folder = outer.0.join("model");
    std::fs::create_dir(&folder).unwrap();
    outer.write("model/w.bin", &[2; 6]);
    let absolute = folder.join("w.bin").display().to_string();
    for location in ["", "../secret", "a/../../secret", "../model/w.bin", "..", "/etc/passwd", &absolute, "a\0b"] {
        let why = why(read_from(&folder, &[("location", location)], 6));
        assert!(why.contains("not in the model's folder"), "{location}: {why}");
    }
    assert!(matches!(read_from(&folder, &[("location", "missing")], 6), Err(Error::File { .. })));
    assert!(why(read_from(&folder, &[("location", ".")], 6)).contains("not a regular file"));
}

#[cfg(unix)]
#[test]
fn links_are_followed_within_the_folder_only() {
    use std::os::unix::fs::symlink;

    let outer = Folder::new();
    outer.write("secret", &[1; 6]);
    let folder = outer.0.join("model");
    std::fs::create_dir(&folder).unwrap();
    outer.write("model/w.bin", &[2; 6]);
    symlink("../secret", folder.join("out")).unwrap();
    symlink("..", folder.join("up")).unwrap();
    symlink("w.bin", folder.join("in")).unwrap();
    for location in ["out", "up/secret"] {
        let why = why(read_from(&folder, &[("location", location)], 6));
        assert!(why.contains("not in the model's folder"), "{location}: {why}");
    }
    assert_eq!(read_from(&folder, &[("location", "in")], 6).unwrap(), [2; 6]);
    // The folder itself may be reached by a link.
    symlink("model", outer.0.join("link")).unwrap();
    assert_eq!(read_from(&outer.0.join("link"), &[("location", "w.bin")], 6).unwrap(), [2; 6]);
    // A device never ends.
    assert!(why(open(Path::new("/dev/zero")).map(|_| Vec::new())).contains("not a regular file"));
}
