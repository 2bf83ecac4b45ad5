//! The chain and what is done to it: every change is found and named, restarts and full files leave no gap.

use std::{fs, path::Path};

use proptest::{prelude::*, sample::Index};
use serde_json::{Map, Value, json};

use super::{
    chain::{Chain, Rotation},
    file::LogFile,
    line::{self, Event},
    *,
};

const NOW: Duration = Duration::from_millis(1_735_689_600_123);

fn settings(file: &Path) -> AuditSettings {
    AuditSettings {
        file: file.to_owned(),
        max_bytes: 1024 * 1024,
        keep: 3,
        arguments: false,
        on_failure: OnFailure::Refuse,
    }
}

fn entry(number: u64) -> Entry {
    Entry {
        at: NOW,
        tenant: Some("acme".to_owned()),
        issuer: "https://issuer.test".to_owned(),
        subject: format!("alice \"{number}\" ü\u{2028}\n"),
        client: None,
        tool: "update_note".to_owned(),
        entity: Some("note".to_owned()),
        record: Some("99999999-9999-4999-8999-999999999999".to_owned()),
        version_before: Some(number),
        version_after: Some(number + 1),
        outcome: "ok",
        status: Some(200),
        repeated: false,
        may_have_written: true,
        correlation_id: "c-1".to_owned(),
        arguments: None,
        arguments_left_out: None,
    }
}

fn open(path: &Path, max_bytes: u64) -> Chain {
    let rules = Rotation {
        max_bytes,
        keep: 100,
    };
    Chain::open(path, rules, NOW).unwrap()
}

fn add(chain: &mut Chain, numbers: std::ops::Range<u64>) {
    for number in numbers {
        chain
            .append(&Event::Write(Box::new(entry(number))), NOW)
            .unwrap();
    }
}

/// The audit's files in a folder, the oldest first.
fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|it| it.extension().unwrap() != "lock")
        .collect();
    // The one without a number is the newest.
    paths.sort_by_key(|path| (file::part_of(path).is_none(), path.clone()));
    paths
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = text(path);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_line_is_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let mut chain = open(&path, 1 << 20);
    let mut asked = entry(1);
    asked.subject = "alice".to_owned();
    asked.arguments = json!({ "title": "t" }).as_object().cloned();
    chain.append(&Event::Write(Box::new(asked)), NOW).unwrap();
    add(&mut chain, 2..3);
    insta::assert_snapshot!(text(&path), @r#"
    {"v":1,"seq":1,"at":"2025-01-01T00:00:00.123Z","event":"write","tenant":"acme","issuer":"https://issuer.test","subject":"alice","client":null,"tool":"update_note","entity":"note","record":"99999999-9999-4999-8999-999999999999","version_before":1,"version_after":2,"outcome":"ok","status":200,"repeated":false,"may_have_written":true,"correlation_id":"c-1","arguments":{"title":"t"},"prev":"0000000000000000000000000000000000000000000000000000000000000000","hash":"4e7dcb3e6a631304df2f947d09a19adbd76b54ef1f754aa25dbedf1d930b570c"}
    {"v":1,"seq":2,"at":"2025-01-01T00:00:00.123Z","event":"write","tenant":"acme","issuer":"https://issuer.test","subject":"alice \"2\" ü \n","client":null,"tool":"update_note","entity":"note","record":"99999999-9999-4999-8999-999999999999","version_before":2,"version_after":3,"outcome":"ok","status":200,"repeated":false,"may_have_written":true,"correlation_id":"c-1","prev":"4e7dcb3e6a631304df2f947d09a19adbd76b54ef1f754aa25dbedf1d930b570c","hash":"434e13de355641b45a73e296d22bc376128a22294083554aa14801a859b6efd6"}
    "#);
}

#[test]
fn a_chain_goes_on_over_restarts_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    for number in 0..20 {
        add(&mut open(&path, 2_000), number..number + 1);
    }
    let files = files(folder.path());
    assert!(files.len() > 3, "{files:?}");
    let report = verify(&files, None).unwrap();
    let in_files: usize = files.iter().map(|path| lines(path).len()).sum();
    assert_eq!((report.lines, report.after), (in_files as u64, None));
    // In any order, as `audit.jsonl*` gives them.
    let mut backwards = files.clone();
    backwards.reverse();
    assert_eq!(verify(&backwards, None).unwrap(), report);
    for (older, newer) in files.iter().zip(files.iter().skip(1)) {
        let (older_lines, rotated) = (lines(older), &lines(newer)[0]);
        assert_eq!(rotated["event"], "rotated");
        assert_eq!(
            rotated["file"],
            older.file_name().unwrap().to_str().unwrap()
        );
        assert_eq!(rotated["prev"], older_lines.last().unwrap()["hash"]);
        assert!(fs::metadata(older).unwrap().len() <= 2_000);
    }
}

#[test]
fn only_so_many_older_files_stay_and_the_rest_is_still_a_chain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let rules = Rotation {
        max_bytes: 1_500,
        keep: 2,
    };
    let mut chain = Chain::open(&path, rules, NOW).unwrap();
    add(&mut chain, 0..20);
    let files = files(folder.path());
    assert_eq!(files.len(), 3);
    let report = verify(&files, None).unwrap();
    assert!(report.after.is_some());
    let first = lines(&files[0])[0]["seq"].as_u64().unwrap();
    assert_eq!(report.after.unwrap().seq + 1, first);
}

#[test]
fn a_process_that_ended_between_two_files_goes_on_with_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    add(&mut open(&path, 1 << 20), 0..3);
    fs::rename(&path, folder.path().join("audit.jsonl.000000000001")).unwrap();
    add(&mut open(&path, 1 << 20), 3..4);
    let files = files(folder.path());
    assert_eq!((files.len(), lines(&path).len()), (2, 2));
    assert_eq!(verify(&files, None).unwrap().lines, 5);
}

#[test]
fn an_older_file_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let mut chain = open(&path, 1_500);
    let older = folder.path().join("audit.jsonl.000000000001");
    fs::write(&older, "somebody else's").unwrap();
    add(&mut chain, 0..10);
    assert_eq!(text(&older), "somebody else's");
    assert_eq!(verify(&[path], None).unwrap().lines, 10);
}

#[test]
fn a_torn_line_stands_in_the_chain() {
    for cut in [1, 2, 70, 300] {
        for whole in [0, 1, 4] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("audit.jsonl");
            add(&mut open(&path, 1 << 20), 0..whole + 1);
            let before = text(&path);
            let kept = &before[..before.len() - cut];
            fs::write(&path, kept).unwrap();
            let torn_lines = verify(std::slice::from_ref(&path), None)
                .unwrap_err()
                .to_string();
            assert!(
                torn_lines.contains(&format!(":{}: it is torn", whole + 1)),
                "{torn_lines}"
            );
            add(&mut open(&path, 1 << 20), 7..8);
            let after = lines(&path);
            assert_eq!(after.len() as u64, whole + 2);
            let torn = &after[usize::try_from(whole).unwrap()];
            let fragment = kept.rsplit('\n').next().unwrap();
            assert_eq!(torn["event"], "torn");
            assert_eq!(
                (&torn["text"], &torn["bytes"]),
                (&json!(fragment), &json!(fragment.len()))
            );
            assert_eq!(verify(&[path], None).unwrap().lines, whole + 2);
        }
    }
}

#[test]
fn what_is_torn_before_its_file_names_the_older_one_is_mended_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    add(&mut open(&path, 1 << 20), 0..3);
    fs::rename(&path, folder.path().join("audit.jsonl.000000000001")).unwrap();
    fs::write(&path, b"{\"v\":1,\0\xff").unwrap();
    add(&mut open(&path, 1 << 20), 3..4);
    let events: Vec<_> = lines(&path)
        .iter()
        .map(|line| line["event"].clone())
        .collect();
    assert_eq!(events, ["rotated", "torn", "write"]);
    assert_eq!(verify(&files(folder.path()), None).unwrap().lines, 6);
}

#[test]
fn a_file_that_is_no_audit_is_left_alone() {
    for foreign in ["no audit\n", "{}\n", "\n", "\n\n"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        fs::write(&path, foreign).unwrap();
        let refused = Audit::open(&settings(&path), || NOW);
        assert!(
            matches!(refused, Err(CannotAudit::Foreign { .. })),
            "{refused:?}"
        );
        assert_eq!(text(&path), foreign);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    fs::write(&path, vec![b'x'; 3 * line::LONGEST]).unwrap();
    assert!(matches!(
        Audit::open(&settings(&path), || NOW),
        Err(CannotAudit::Foreign { .. })
    ));
}

#[test]
fn two_processes_on_one_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let first = open(&path, 1 << 20);
    let second = Audit::open(&settings(&path), || NOW);
    assert!(matches!(second, Err(CannotAudit::Taken(_))), "{second:?}");
    drop(first);
    assert!(Audit::open(&settings(&path), || NOW).is_ok());
}

#[cfg(unix)]
#[test]
fn a_file_that_leads_elsewhere_or_is_open_to_others_is_refused() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("precious");
    fs::write(&elsewhere, "").unwrap();
    let place = |name: &str| folder.path().join(name);
    symlink(&elsewhere, place("link")).unwrap();
    symlink(place("nowhere"), place("dangling")).unwrap();
    symlink(&elsewhere, place(".locked.lock")).unwrap();
    fs::hard_link(&elsewhere, place("hard")).unwrap();
    fs::create_dir(place("folder")).unwrap();
    for name in ["link", "dangling", "locked", "hard", "folder"] {
        let refused = Audit::open(&settings(&place(name)), || NOW);
        assert!(
            matches!(refused, Err(CannotAudit::NoFile(_))),
            "{name}: {refused:?}"
        );
    }
    assert!(!place("nowhere").exists());
    let device = Audit::open(&settings(Path::new("/dev/full")), || NOW);
    assert!(device.is_err(), "{device:?}");
    fs::write(place("open"), "").unwrap();
    fs::set_permissions(place("open"), fs::Permissions::from_mode(0o622)).unwrap();
    let refused = Audit::open(&settings(&place("open")), || NOW);
    assert!(matches!(refused, Err(CannotAudit::Open(_))), "{refused:?}");
    let wide = place("wide");
    fs::create_dir(&wide).unwrap();
    fs::set_permissions(&wide, fs::Permissions::from_mode(0o777)).unwrap();
    let refused = Audit::open(&settings(&wide.join("audit.jsonl")), || NOW);
    assert!(matches!(refused, Err(CannotAudit::Open(_))), "{refused:?}");
    // What is made is ours alone, also what a full file is followed by.
    let made = place("made");
    add(&mut open(&made, 1_024), 0..4);
    for path in [&made, &place(".made.lock"), &place("made.000000000001")] {
        assert_eq!(
            fs::metadata(path).unwrap().mode() & 0o777,
            0o600,
            "{path:?}"
        );
    }
}

#[test]
fn a_line_longer_than_ours_is_read_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    add(&mut open(&path, 1 << 20), 0..2);
    // 16 GB that take no room: whoever reads them whole does not come back.
    let file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length + (16 << 30)).unwrap();
    let broken = verify(&[path], None).unwrap_err().to_string();
    assert!(
        broken.ends_with(":3: it is longer than any line of an audit"),
        "{broken}"
    );
}

#[test]
fn deep_and_long_arguments_are_lines_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let mut deep = json!(1);
    for _ in 0..126 {
        deep = json!([deep]);
    }
    let mut deepest = entry(1);
    deepest.arguments = Some(Map::from_iter([("a".to_owned(), deep)]));
    let mut longest = entry(2);
    let long = "\u{1}".repeat(LONGEST_ARGUMENTS / 6 - 10);
    longest.arguments = Some(Map::from_iter([("a".to_owned(), json!(long))]));
    longest.subject = "\u{1}".repeat(8 * 1024);
    let mut chain = open(&path, 1 << 20);
    for entry in [deepest, longest] {
        chain.append(&Event::Write(Box::new(entry)), NOW).unwrap();
    }
    drop(chain);
    add(&mut open(&path, 1 << 20), 0..1);
    assert_eq!(verify(&[path], None).unwrap().lines, 3);
}

#[test]
fn a_time_that_no_calendar_has_is_no_panic() {
    let (line, _) = line::written(&Event::Lost { lines: 1 }, Duration::MAX, Link::NOTHING).unwrap();
    let line = String::from_utf8(line).unwrap();
    assert!(line.contains("9999-12-31T23:59:59"), "{line}");
}

#[test]
fn a_file_that_takes_no_line_keeps_none_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let mut file = LogFile::open(&path).unwrap();
    file.append(b"one\n").unwrap();
    assert_eq!(file.length().unwrap(), 4);
    assert_eq!(file.ends().unwrap().last.unwrap(), b"one");
}

#[tokio::test]
async fn whoever_writes_finds_its_line_in_the_file_and_the_end_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let audit = Audit::open(&settings(&path), || NOW).unwrap();
    audit.admits().await.unwrap();
    audit.write(entry(1)).await;
    assert_eq!(lines(&path).len(), 1);
    audit.ends().await;
    let counts = Counts {
        written: 1,
        failed: 0,
        lost: 0,
    };
    assert_eq!((audit.counts(), audit.is_failing()), (counts, false));
    // Behind its end nothing is written, and nothing may be sent.
    audit.write(entry(2)).await;
    assert!(audit.is_failing());
    assert_eq!(audit.admits().await, Err(NoAudit));
}

#[test]
fn an_expected_line_that_is_gone_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    add(&mut open(&path, 1 << 20), 0..5);
    let whole = text(&path);
    let last = verify(std::slice::from_ref(&path), None)
        .unwrap()
        .last
        .unwrap()
        .1
        .hash;
    assert_eq!(
        verify(std::slice::from_ref(&path), Some(last))
            .unwrap()
            .behind_expected,
        Some(0)
    );
    add(&mut open(&path, 1 << 20), 5..7);
    assert_eq!(
        verify(std::slice::from_ref(&path), Some(last))
            .unwrap()
            .behind_expected,
        Some(2)
    );
    let cut: String = whole.split_inclusive('\n').take(4).collect();
    fs::write(&path, cut).unwrap();
    assert!(verify(std::slice::from_ref(&path), None).is_ok());
    let missed = verify(std::slice::from_ref(&path), Some(last));
    assert!(matches!(missed, Err(Unproven::Unexpected(_))), "{missed:?}");
    fs::write(&path, "").unwrap();
    assert!(matches!(
        verify(&[path], Some(last)),
        Err(Unproven::Unexpected(_))
    ));
}

#[test]
fn a_line_that_is_written_anew_with_its_own_hash_breaks_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    add(&mut open(&path, 1 << 20), 0..4);
    let whole = text(&path);
    let mut all: Vec<_> = whole.split_inclusive('\n').collect();
    let before = line::read(all[0].trim_end().as_bytes()).unwrap().link;
    let forged = Event::Write(Box::new(entry(99)));
    let (forged, _) = line::written(&forged, NOW, before).unwrap();
    let forged = String::from_utf8(forged).unwrap();
    all[1] = &forged;
    fs::write(&path, all.concat()).unwrap();
    let broken = verify(std::slice::from_ref(&path), None).unwrap_err();
    let said = broken.to_string();
    assert!(said.contains(":3: it does not follow"), "{said}");
    // At the end only an anchor shows it.
    let last = line::read(whole.lines().nth(1).unwrap().as_bytes()).unwrap();
    fs::write(&path, all[..2].concat()).unwrap();
    assert!(verify(std::slice::from_ref(&path), None).is_ok());
    assert!(verify(&[path], Some(last.link.hash)).is_err());
}

/// What somebody does to lines.
#[derive(Clone, Debug)]
enum Attack {
    Change(Index, u8),
    Delete(Index),
    Swap(Index, Index),
    Duplicate(Index, Index),
    Insert(Index, Vec<u8>),
}

fn attack() -> impl Strategy<Value = Attack> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), 1..=u8::MAX).prop_map(|(at, by)| Attack::Change(at, by)),
        1 => at().prop_map(Attack::Delete),
        1 => (at(), at()).prop_map(|(one, two)| Attack::Swap(one, two)),
        1 => (at(), at()).prop_map(|(from, to)| Attack::Duplicate(from, to)),
        1 => (at(), prop::collection::vec(any::<u8>(), 0..80))
            .prop_map(|(at, line)| Attack::Insert(at, line)),
    ]
}

/// Lines with the number of their file.
type Lines = Vec<(usize, Vec<u8>)>;

fn all_lines(files: &[PathBuf]) -> Lines {
    let mut all = Vec::new();
    for (file, path) in files.iter().enumerate() {
        let bytes = fs::read(path).unwrap();
        all.extend(
            bytes
                .split_inclusive(|it| *it == b'\n')
                .map(|it| (file, it.to_vec())),
        );
    }
    all
}

fn attacked(mut lines: Lines, attack: &Attack) -> Lines {
    let count = lines.len();
    match attack {
        Attack::Change(at, by) => {
            let mut at = at.index(lines.iter().map(|(_, line)| line.len()).sum());
            for (_, line) in &mut lines {
                if at < line.len() {
                    line[at] ^= by;
                    break;
                }
                at -= line.len();
            }
        }
        Attack::Delete(at) => {
            lines.remove(at.index(count));
        }
        Attack::Swap(one, two) => {
            let (one, two) = (one.index(count), two.index(count));
            let line = lines[one].1.clone();
            lines[one].1 = std::mem::replace(&mut lines[two].1, line);
        }
        Attack::Duplicate(from, to) => {
            let (line, to) = (lines[from.index(count)].1.clone(), to.index(count));
            lines.insert(to, (lines[to].0, line));
        }
        Attack::Insert(at, line) => {
            let mut line: Vec<_> = line.iter().copied().filter(|it| *it != b'\n').collect();
            line.push(b'\n');
            let at = at.index(count);
            lines.insert(at, (lines[at].0, line));
        }
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_to_a_line_is_found_and_the_first_broken_line_is_named(
        count in 1_u64..12,
        max_bytes in prop_oneof![Just(1_500_u64), Just(1 << 20)],
        attack in attack(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        add(&mut open(&folder.path().join("audit.jsonl"), max_bytes), 0..count);
        let files = files(folder.path());
        prop_assert!(verify(&files, None).is_ok());
        let before = all_lines(&files);
        let after = attacked(before.clone(), &attack);
        for (file, path) in files.iter().enumerate() {
            let of_file = after.iter().filter(|(it, _)| *it == file);
            fs::write(path, of_file.flat_map(|(_, line)| line.clone()).collect::<Vec<_>>()).unwrap();
        }
        let lines = |lines: &Lines| lines.iter().map(|it| it.1.clone()).collect::<Vec<_>>();
        let (was, is) = (lines(&before), lines(&after));
        let first = is.iter().zip(&was).position(|(is, was)| is != was);
        let first = first.or((is.len() > was.len()).then_some(was.len()));
        match (verify(&files, None), first) {
            // Nothing was done, or the last line was cut off.
            (Ok(_), None) => {}
            (Err(Unproven::Broken { path, line, .. }), Some(first)) => {
                let file = after[first].0;
                let begin = after.iter().position(|(it, _)| *it == file).unwrap();
                prop_assert_eq!(&path, &files[file]);
                prop_assert_eq!(line, (first - begin + 1) as u64);
            }
            (found, first) => prop_assert!(false, "{:?} {:?}", found, first),
        }
    }
}
