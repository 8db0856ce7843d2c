//! Pages of plots.

use crate::{Files, SERVE, SETUP, command, run_command, trace};

/// Whether all that a page needs is in it.
fn assert_self_contained(page: &str) {
    for reference in ["src=\"http", "href=\"http", "url(http", "@import", "<link"] {
        assert!(!page.contains(reference), "{reference}");
    }
    for element in ["html", "body", "section", "svg", "table", "div", "figure"] {
        let count = |text: &str| page.matches(text).count();
        let open = count(&format!("<{element} ")) + count(&format!("<{element}>"));
        assert_eq!(open, count(&format!("</{element}>")), "{element}");
    }
}

#[test]
fn advice_is_a_page_that_is_named_at_the_end() {
    let files = Files::new();
    let path = files.write("trace", &trace(&[SERVE, SETUP]));
    let run = run_command(command().current_dir(files.path("")).args(["advise", "trace"]));
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert!(run.stdout.ends_with("Plots: fastalloc-advice.html\n"), "{}", run.stdout);
    let page = std::fs::read_to_string(files.path("fastalloc-advice.html")).unwrap();
    assert_self_contained(&page);
    for text in
        ["my_app::serve", "FixedPool of 13 slots", "capacity 13", "pub fn serve_64_pool", "times as fast", "10 alive"]
    {
        assert!(page.contains(text) || text == "10 alive", "{text}");
    }
    assert!(page.matches("<svg").count() >= 4 && page.contains("data:image/svg+xml;base64,"));
    assert!(page.contains("prefers-color-scheme: dark"));
    // It is overwritten, because it is one of ours.
    let again = run_command(command().current_dir(files.path("")).arg("advise").arg(&path).arg("--no-replay"));
    assert!(again.stdout.contains("Plots: "), "{}", again.stdout);
    assert!(!std::fs::read_to_string(files.path("fastalloc-advice.html")).unwrap().contains("times as fast"));
}

#[test]
fn replay_is_a_page() {
    let files = Files::new();
    let path = files.write("trace", &trace(&[SERVE, SETUP]));
    let page = files.path("x.html");
    let run = run_command(command().arg("replay").arg(&path).args(["--time", "0.01", "--html"]).arg(&page));
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let page = std::fs::read_to_string(page).unwrap();
    assert_self_contained(&page);
    for text in ["mimalloc", "jemalloc", "Other capacities: my_app::serve", "peak memory"] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn files_of_others_are_not_overwritten_unless_they_are_named() {
    let files = Files::new();
    files.write("trace", &trace(&[SERVE]));
    let other = files.write("fastalloc-advice.html", b"mine");
    let advise = |arguments: &[&str]| {
        let mut command = command();
        run_command(command.current_dir(files.path("")).args(["advise", "trace", "--no-replay"]).args(arguments))
    };
    let run = advise(&[]);
    assert_eq!(run.status, Some(0));
    assert!(run.stderr.contains("there is another file of that name"), "{}", run.stderr);
    assert_eq!(std::fs::read(&other).unwrap(), b"mine");
    assert_eq!(advise(&["--html", "fastalloc-advice.html"]).status, Some(0));
    assert_ne!(std::fs::read(&other).unwrap(), b"mine");
    let failed = advise(&["--html", "/nowhere/x.html"]);
    assert_eq!(failed.status, Some(2));
    assert!(failed.stderr.contains("cannot write /nowhere/x.html"), "{}", failed.stderr);
}

#[test]
fn there_is_no_page_for_other_programs_unless_it_is_named() {
    let files = Files::new();
    files.write("trace", &trace(&[SERVE]));
    for arguments in [&["--json"][..], &["--toml"], &["--no-html"]] {
        let run =
            run_command(command().current_dir(files.path("")).args(["advise", "trace", "--no-replay"]).args(arguments));
        assert_eq!(run.status, Some(0));
        assert!(!files.path("fastalloc-advice.html").exists(), "{arguments:?}");
    }
}

/// Names of functions are not elements of the page.
#[test]
fn names_cannot_change_the_page() {
    let functions = &["my_app::<script>alert(1)</script>", "main;<b>"];
    let files = Files::new();
    files.write("trace", &trace(&[crate::Site { functions, ..SERVE }]));
    let run = run_command(command().current_dir(files.path("")).args(["advise", "trace", "--no-replay"]));
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let page = std::fs::read_to_string(files.path("fastalloc-advice.html")).unwrap();
    assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"));
}
