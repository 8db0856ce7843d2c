//! Arguments, help, and what is made of them.

use crate::run;

#[test]
fn help_has_examples_and_exit_statuses() {
    let help = run(["advise", "--help"]);
    assert_eq!(help.status, Some(0));
    for text in ["Examples:", "heaptrack --raw", "Exit status:", "--check <CONFIG>"] {
        assert!(help.stdout.contains(text), "{text} in {}", help.stdout);
    }
    assert!(run(["--help"]).stdout.contains("Exit status:"));
    assert!(run(["--version"]).stdout.starts_with("fastalloc 2."));
}

#[test]
fn configuration_in_the_help_can_be_used() {
    let help = run(["advise", "--help"]).stdout;
    let start = help.find("  [[pool]]").unwrap();
    let end = start + help[start..].find("\n\n").unwrap();
    fastalloc_trace::Configuration::from_toml(&help[start..end]).unwrap();
}

#[test]
fn wrong_usage_has_status_2() {
    for args in [&["advise", "x", "--unknown"][..], &["nonsense"], &["man", "nonsense"], &[]] {
        let run = run(args);
        assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(!run.stderr.is_empty());
    }
    assert_eq!(run(["advise", "x", "--toml", "--json"]).status, Some(2));
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = run(["completions", shell]);
        assert!(run.status == Some(0) && run.stdout.contains("check"), "{shell}: {}", run.stdout);
    }
}

#[test]
fn every_command_has_a_manual_page() {
    assert!(run(["man"]).stdout.contains(".TH fastalloc 1"));
    for command in ["record", "advise", "replay", "convert", "completions", "man"] {
        let run = run(["man", command]);
        assert!(run.stdout.contains(&format!(".TH fastalloc-{command} 1")), "{}", run.stdout);
        assert!(run.stdout.contains("EXTRA") && run.stdout.contains("Examples:"), "{}", run.stdout);
    }
}
