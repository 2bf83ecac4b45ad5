//! Every way in which the sandbox can be made to fail, and every place at which the connection to it can be cut, met by a
//! read and by a write, at the opening of the session and at the request itself: which code the model gets, whether it is
//! told to try again, and how many records there are afterwards. One table each says it all, so that a change of any of
//! it is seen.

use serde_json::{Value, json};
use toolbridge::sandbox::{Failure, Fault, Latency, Moment, Requests, Sandbox, Switches};

use crate::harness::{
    Person, Setup, Sidecar,
    cutting_proxy::{Cut, CuttingProxy, How, Passed, Since, Way},
    in_time, sandbox,
};

/// What meets the fault.
#[derive(Clone, Copy)]
struct Call {
    name: &'static str,
    tool: &'static str,
    /// How its request begins.
    says: &'static str,
}

const READ: Call = Call {
    name: "read",
    tool: "list_notes",
    says: "GET /v1/notes",
};

const CREATE: Call = Call {
    name: "create",
    tool: "create_note",
    says: "POST /v1/notes",
};

/// How the opening of a session begins.
const SESSION: &str = "POST /v1/sync/sessions";

/// For whoever waits for what comes.
const PATIENT: &str = "30s";
/// For whoever waits for what never comes.
const IMPATIENT: &str = "1s";

/// Oftener than anything is tried.
const MANY: usize = 20;

impl Call {
    fn arguments(self) -> Value {
        match self.tool {
            "list_notes" => json!({}),
            _ => json!({ "title": "one", "content": "and no other" }),
        }
    }
}

/// A sidecar before a proxy before a sandbox, used by one person after the other.
struct World {
    sandbox: Sandbox,
    proxy: CuttingProxy,
    sidecar: Sidecar,
    people: usize,
}

/// How long the messages of one call are, in bytes: of the session's opening, then of the request.
struct Lengths {
    asked: [u64; 2],
    answered: [u64; 2],
}

impl World {
    async fn with(patience: &str) -> Self {
        let sandbox = sandbox().await;
        let proxy = CuttingProxy::before(&sandbox).await;
        // One failure after the other is what this is about: nobody gives the backend up for it.
        let setup = Setup::before(&proxy)
            .set("backend.request_timeout", patience)
            .set("breaker.after", "1d");
        Self {
            sidecar: setup.start().await,
            sandbox,
            proxy,
            people: 0,
        }
    }

    /// Somebody whom nobody knows yet, with a token as long as everybody's.
    fn somebody(&mut self) -> Person {
        self.people += 1;
        self.sidecar.person(&format!("person-{:03}", self.people))
    }

    /// What comes of a call, and how many records there are once everything is well again.
    async fn outcome(&mut self, call: Call) -> String {
        let person = self.somebody();
        let ended = in_time(person.calls(call.tool, call.arguments())).await;
        let said = if ended.result["isError"] == true {
            let error = ended.failed();
            let again = match error["retryable"].as_bool().unwrap() {
                true => "again",
                false => "not again",
            };
            format!("{}, {again}", error["code"].as_str().unwrap())
        } else {
            "success".to_owned()
        };
        self.sandbox.faults().clear();
        self.proxy.forgets();
        let page = person.calls("list_notes", json!({})).await.good();
        let records = page["items"].as_array().unwrap().len();
        format!("{said}, records: {records}")
    }

    async fn row(&mut self, on: &str, fault: &str, switches: Switches, call: Call) -> String {
        self.sandbox.faults().set(switches);
        let came = self.outcome(call).await;
        format!("{on:<8} {fault:<24} {:<7} {came}", call.name)
    }

    async fn cut_row(&mut self, on: &str, place: &str, cut: Cut, call: Call) -> String {
        let before = self.cuts_made();
        for _ in 0..MANY {
            self.proxy.cuts(cut);
        }
        let came = self.outcome(call).await;
        let tries = self.cuts_made() - before;
        let (how, name) = (format!("{:?}", cut.how), call.name);
        format!("{on:<8} {how:<7} {place:<24} {name:<7} {came}, tries: {tries}")
    }

    fn cuts_made(&self) -> usize {
        let all = self.proxy.passed();
        all.iter().filter(|it| it.cut.is_some()).count()
    }

    /// What has passed both ways, on all connections.
    fn passed(&self) -> [u64; 2] {
        let all = self.proxy.passed();
        let sum = |way: fn(&Passed) -> u64| all.iter().map(way).sum();
        [sum(|it| it.to_server), sum(|it| it.to_client)]
    }

    async fn lengths(&mut self, call: Call) -> Lengths {
        let before = self.passed();
        let person = self.somebody();
        person.calls(call.tool, call.arguments()).await.good();
        let both = self.passed();
        // Again, without the request.
        for _ in 0..MANY {
            let cut = Cut::abort(Way::ToServer, 0).since(Since::Said(call.says));
            self.proxy.cuts(cut);
        }
        let person = self.somebody();
        person.calls(call.tool, call.arguments()).await.failed();
        let tries = (MANY - self.proxy.left().len()) as u64;
        self.proxy.forgets();
        let after = self.passed();
        let session = [0, 1].map(|way| (after[way] - both[way]) / tries);
        let request = [0, 1].map(|way| both[way] - before[way] - session[way]);
        Lengths {
            asked: [session[0], request[0]],
            answered: [session[1], request[1]],
        }
    }
}

fn failures() -> Vec<(&'static str, Failure)> {
    let status = |code, retry_after_s| Failure::Status {
        code,
        retry_after_s,
    };
    let redirect = Failure::Redirect {
        location: "http://127.0.0.1:1/".to_owned(),
    };
    let huge = Failure::Huge {
        megabytes: 9,
        chunked: true,
    };
    vec![
        ("500", status(500, None)),
        ("503", status(503, None)),
        ("429, 100 s", status(429, Some(100))),
        ("401", status(401, None)),
        ("403", status(403, None)),
        ("422", status(422, None)),
        ("a web page", Failure::Html),
        ("a redirect", redirect),
        ("9 MiB", huge),
        ("no answer", Failure::Drop),
        ("half an answer", Failure::Truncate),
    ]
}

/// Every failure before and after the request is carried out, named.
fn switches(on: Requests) -> Vec<(String, Switches)> {
    let mut all = Vec::new();
    for (name, does) in failures() {
        for (moment, when) in [("before", Moment::Arrival), ("after", Moment::Answer)] {
            // Half an answer is one that was made.
            if does == Failure::Truncate && when == Moment::Arrival {
                continue;
            }
            let fault = Fault {
                on,
                when,
                times: None,
                does: does.clone(),
            };
            let switches = Switches {
                faults: vec![fault],
                ..Switches::default()
            };
            all.push((format!("{name} ({moment})"), switches));
        }
    }
    all
}

/// Longer than anybody waits.
fn silence(on: Requests) -> Switches {
    Switches {
        latency: Some(Latency { ms: 60_000, on }),
        ..Switches::default()
    }
}

/// Those that are about sessions and clocks.
fn others() -> [(&'static str, Switches); 4] {
    let healthy = Switches::default;
    let stale = Switches {
        expire_sessions: true,
        ..healthy()
    };
    let epochs = |number| Switches {
        bump_epoch_after_sessions: number,
        ..healthy()
    };
    let clock = Switches {
        clock_offset_ms: 3_600_000,
        ..healthy()
    };
    [
        ("stale sessions", stale),
        ("a new epoch, once", epochs(1)),
        ("a new epoch, always", epochs(100)),
        ("a clock an hour off", clock),
    ]
}

/// Where the connection is cut every time, in words. Times in answers are written without zeros at their end, so that an
/// answer is a few bytes longer or shorter than another.
fn cuts(lengths: &Lengths, at: usize) -> [(&'static str, Cut); 6] {
    let (asked, answered) = (lengths.asked[at], lengths.answered[at]);
    [
        ("as it is asked", Cut::abort(Way::ToServer, 0)),
        ("in the question's head", Cut::abort(Way::ToServer, 20)),
        (
            "before the question ends",
            Cut::abort(Way::ToServer, asked - 1),
        ),
        ("before the answer", Cut::abort(Way::ToClient, 0)),
        ("in the answer's head", Cut::abort(Way::ToClient, 20)),
        (
            "in the answer's body",
            Cut::abort(Way::ToClient, answered - 40),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_switch_has_its_code_its_advice_and_its_number_of_records() {
    let mut rows = Vec::new();
    let mut world = World::with(PATIENT).await;
    let mut impatient = World::with(IMPATIENT).await;
    for call in [READ, CREATE] {
        for (name, on) in [
            ("session", Requests::Sessions),
            ("request", Requests::Entities),
        ] {
            for (fault, switches) in switches(on) {
                rows.push(world.row(name, &fault, switches, call).await);
            }
            rows.push(impatient.row(name, "no word", silence(on), call).await);
        }
        for (fault, switches) in others() {
            rows.push(world.row("both", fault, switches, call).await);
        }
    }
    insta::assert_snapshot!(rows.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes its time: scripts/test runs it"]
async fn every_cut_has_its_code_its_advice_and_its_number_of_records() {
    let mut rows = Vec::new();
    let mut world = World::with(PATIENT).await;
    let mut impatient = World::with(IMPATIENT).await;
    for call in [READ, CREATE] {
        let lengths = world.lengths(call).await;
        for (at, name) in ["session", "request"].into_iter().enumerate() {
            let said = if at == 0 { SESSION } else { call.says };
            for how in [How::Abort, How::Finish, How::Stall] {
                let world = match how {
                    How::Stall => &mut impatient,
                    How::Abort | How::Finish => &mut world,
                };
                for (place, cut) in cuts(&lengths, at) {
                    let cut = cut.since(Since::Said(said)).by(how);
                    rows.push(world.cut_row(name, place, cut, call).await);
                }
            }
        }
    }
    insta::assert_snapshot!(rows.join("\n"));
}
