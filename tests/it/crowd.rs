//! Many people at once: fifty, each with four connections, two of them in each of two tenants. Nobody gets an error, and
//! nobody sees a record that is not theirs in this tenant, neither in a list nor by its uid.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};
use tokio::{sync::Barrier, task::JoinSet};

use crate::harness::{self, Setup, Sidecar, in_time, legacy::Connection};

const PEOPLE: usize = 50;
const TENANTS: [&str; 2] = ["acme", "globex"];
/// Of each person in each tenant; four in all.
const CONNECTIONS: usize = 2;
const ALL: usize = PEOPLE * TENANTS.len() * CONNECTIONS;

/// Whose connection it is, and where.
#[derive(Clone)]
struct Place {
    person: usize,
    tenant: &'static str,
    connection: usize,
}

impl Place {
    /// Everywhere in what is written here, and nowhere else.
    fn marker(&self) -> String {
        let Self {
            tenant, connection, ..
        } = self;
        format!("{} in {tenant} by {connection}", self.subject())
    }

    fn subject(&self) -> String {
        format!("person-{:02}", self.person)
    }

    /// What the person wrote in this tenant, by any connection.
    fn own(&self) -> BTreeSet<String> {
        let of = |connection| {
            Self {
                connection,
                ..self.clone()
            }
            .marker()
        };
        (0..CONNECTIONS).map(of).collect()
    }
}

/// Writes and reads on one connection, at the same time as everybody else.
async fn works(connection: Connection, place: Place, together: Arc<Barrier>) -> String {
    together.wait().await;
    let marker = place.marker();
    let new = json!({ "title": marker, "content": marker });
    let note = connection.calls("create_note", new).await.good();
    let uid = json!({ "uid": note["uid"] });
    let read = connection.calls("get_note", uid.clone()).await.good();
    assert_eq!(read["payload"]["title"], marker);
    let seen = titles(&connection).await;
    assert!(seen.is_subset(&place.own()), "{marker} sees {seen:?}");
    let mut change = uid.clone();
    change["updates"] = json!({ "content": format!("changed {marker}") });
    connection.calls("patch_note", change).await.good();
    // Now that everybody has written.
    together.wait().await;
    assert_eq!(titles(&connection).await, place.own());
    let read = connection.calls("get_note", uid).await.good();
    assert_eq!(read["payload"]["content"], format!("changed {marker}"));
    note["uid"].as_str().unwrap().to_owned()
}

async fn titles(connection: &Connection) -> BTreeSet<String> {
    let page = connection.calls("list_notes", json!({ "limit": 1000 }));
    let page = page.await.good();
    let title = |note: &Value| note["payload"]["title"].as_str().unwrap().to_owned();
    page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(title)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_people_with_four_connections_each_in_two_tenants_see_only_their_own() {
    let mut sidecars: Vec<(&'static str, Sidecar)> = Vec::new();
    let mut backends = Vec::new();
    for tenant in TENANTS {
        let backend = harness::sandbox().await;
        let setup = Setup::before(&backend).set("tenant.id", tenant);
        sidecars.push((tenant, setup.start().await));
        backends.push(backend);
    }
    let together = Arc::new(Barrier::new(ALL));
    let mut running = JoinSet::new();
    for person in 0..PEOPLE {
        for (tenant, sidecar) in &sidecars {
            for connection in 0..CONNECTIONS {
                let place = Place {
                    person,
                    tenant,
                    connection,
                };
                let person = sidecar.person(&place.subject());
                let together = Arc::clone(&together);
                running.spawn(async move {
                    let connection = person.connects().await;
                    (place.clone(), works(connection, place, together).await)
                });
            }
        }
    }
    let mut written: Vec<(Place, String)> = Vec::new();
    while let Some(ended) = in_time(running.join_next()).await {
        written.push(ended.unwrap());
    }
    assert_eq!(written.len(), ALL);

    // A true uid of somebody else's is as unknown as an invented one, and so is one's own of the other tenant.
    for (tenant, sidecar) in &sidecars {
        let nosy = sidecar.person("person-00");
        let foreign = written.iter().filter(|(place, _)| {
            place.person < 5 && (place.person != 0 || place.tenant != *tenant)
        });
        for (place, uid) in foreign {
            let code = nosy.calls("get_note", json!({ "uid": uid })).await.code();
            assert_eq!(code, "NOT_FOUND", "{} in {tenant}", place.marker());
        }
    }
    for (_, sidecar) in sidecars {
        assert!(sidecar.stops().await);
    }
}
