//! Help, man pages and completions.

use super::*;

fn help(args: &[&str]) -> String {
    let ran = run(Path::new("."), args);
    assert_eq!(ran.status, Some(0));
    assert_eq!(ran.stderr, "");
    ran.stdout
}

#[test]
fn the_help_names_the_commands() {
    insta::assert_snapshot!(help(&["--help"]));
}

#[test]
fn the_help_of_scan_explains_every_option() {
    insta::assert_snapshot!(help(&["scan", "--help"]));
}

#[test]
fn the_help_of_detect_explains_every_option() {
    insta::assert_snapshot!(help(&["detect", "--help"]));
}

#[test]
fn the_help_of_logons_explains_every_option() {
    insta::assert_snapshot!(help(&["logons", "--help"]));
}

#[test]
fn the_help_of_tail_explains_every_option() {
    insta::assert_snapshot!(help(&["tail", "--help"]));
}

#[test]
fn the_help_of_count_explains_every_option() {
    insta::assert_snapshot!(help(&["count", "--help"]));
}

#[test]
fn the_help_of_logs_explains_every_option() {
    insta::assert_snapshot!(help(&["logs", "--help"]));
}

#[test]
fn the_help_of_serve_explains_every_option() {
    insta::assert_snapshot!(help(&["serve", "--help"]));
}

#[test]
fn the_help_of_decode_explains_every_option() {
    insta::assert_snapshot!(help(&["decode", "--help"]));
}

#[test]
fn the_help_of_sim_explains_every_option_and_fault() {
    insta::assert_snapshot!(help(&["sim", "--help"]));
}

#[test]
fn every_shell_has_completions_that_know_the_options() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let text = help(&["completions", shell]);
        assert!(text.contains("event-user"), "{shell}");
    }
}

#[test]
fn there_is_a_man_page_for_quarry_and_for_each_command() {
    let page = help(&["man"]);
    assert!(page.starts_with(".ie"), "{page}");
    assert!(page.contains(".TH quarry 1"));
    let page = help(&["man", "scan"]);
    assert!(page.contains(".TH quarry-scan 1"), "{page}");
    assert!(page.contains("\\-\\-xpath"));
    assert_eq!(run(Path::new("."), &["man", "nothing"]).status, Some(2));
}
