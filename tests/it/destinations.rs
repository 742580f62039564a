//! Destinations that are misspelt, and stores without credentials: refused soon, by what to do.

use std::fs;
use std::time::Duration;

use rstest::rstest;

use crate::stage::{Stage, ended};

#[rstest]
#[case("s3:/lake/x", "did you mean s3://lake/x?")]
#[case("obs:lake", "did you mean obs://lake?")]
#[case("~/att", "write the path in full")]
#[case("$HOME/att", "write the path in full")]
#[case("C:\\data", "a path of Windows")]
fn a_misspelt_destination_is_refused_with_its_likely_meaning_and_no_folder_is_made(
    #[case] dest: &str,
    #[case] meant: &str,
) {
    let stage = Stage::of(&[3]);
    let before = || fs::read_dir(stage.folder.path()).unwrap().count();
    let files = before();
    for args in [
        &["export", "--meetings", "list.txt", "--out", dest][..],
        &["demo", "--out", dest],
        &["status", dest],
        &["verify", dest],
        &["compact", dest],
        &[
            "export",
            "--meetings",
            "list.txt",
            "--out",
            "out",
            "--state-dir",
            dest,
        ],
        &[
            "export",
            "--meetings",
            "list.txt",
            "--out",
            "out",
            "--report",
            dest,
        ],
    ] {
        let said = stage.run(args).with(3);
        assert!(said.contains(meant), "{args:?}: {said}");
    }
    assert_eq!(before(), files);
    assert_eq!(stage.requests(), 0);

    // A folder that really has such a name.
    let really = format!("./{dest}");
    let export = ["export", "--meetings", "list.txt", "--out", &really];
    stage.run(&export).silently(0);
    stage.run(&["verify", &really]).with(0);
}

#[rstest]
#[case::s3("s3://lake/x", &[], "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")]
#[case::obs("obs://lake/x", &[("OBS_REGION", "cn-north-4")], "set OBS_ACCESS_KEY_ID and OBS_SECRET_ACCESS_KEY")]
#[case::google("gs://lake/x", &[], "set GOOGLE_SERVICE_ACCOUNT or GOOGLE_APPLICATION_CREDENTIALS")]
#[case::azure("az://lake/x", &[("AZURE_STORAGE_ACCOUNT_NAME", "me")], "set AZURE_STORAGE_ACCOUNT_KEY")]
fn a_store_without_credentials_is_told_soon_by_the_variables_to_set(
    #[case] dest: &str,
    #[case] variables: &[(&str, &str)],
    #[case] names: &str,
) {
    let stage = Stage::of(&[3]);
    for args in [
        &["export", "--meetings", "list.txt", "--out", dest][..],
        &["status", dest],
    ] {
        let mut command = stage.command(args);
        for (name, _) in std::env::vars() {
            let families = ["AWS_", "OBS_", "HUAWEICLOUD_", "GOOGLE_", "AZURE_"];
            if families.iter().any(|family| name.starts_with(family)) {
                command.env_remove(name);
            }
        }
        // Credentials of the user who runs the tests.
        command
            .env("HOME", "/nonexistent")
            .envs(variables.iter().copied());
        let begun = std::time::Instant::now();
        let said = ended(&mut command).with(3);
        assert!(begun.elapsed() < Duration::from_secs(5), "{said}");
        assert!(said.contains(names), "{said}");
        assert!(!said.contains("169.254."), "{said}");
    }
    assert_eq!(stage.requests(), 0);
}
