//! The catalogue's file is replaced while a sidecar serves it: what is valid is served from then on, what is not changes
//! nothing, and nobody who calls or lists meanwhile notices more than that.

mod alike;
mod file;
mod former;
mod load;
mod news;
mod older;
mod process;

use std::fs;

use serde_json::json;

use self::file::{CatalogueFile, names, numbered};
use crate::harness::{FakeBackend, Person, Setup, Sidecar};

async fn serving(file: &CatalogueFile) -> (FakeBackend, Sidecar) {
    let backend = FakeBackend::start();
    let sidecar = before(&backend, file).start().await;
    (backend, sidecar)
}

fn before(backend: &FakeBackend, file: &CatalogueFile) -> Setup {
    Setup::before(backend).set("catalogue.file", file.path().to_str().unwrap())
}

async fn readiness(sidecar: &Sidecar) -> (u16, String) {
    let answer = Person::at(&sidecar.ops_url).gets("/readyz").await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn a_file_that_is_written_over_is_served_without_being_asked() {
    let file = CatalogueFile::with(&numbered(1));
    let (_backend, sidecar) = serving(&file).await;
    assert_eq!(names(&sidecar.alice()).await, file::names_of(1));
    fs::write(file.path(), numbered(2)).unwrap();
    file::replaced(&sidecar, 1).await;
    assert_eq!(names(&sidecar.alice()).await, file::names_of(2));
}

#[tokio::test]
async fn a_file_that_an_editor_replaces_by_renaming_is_noticed_every_time() {
    let file = CatalogueFile::with(&numbered(1));
    let (_backend, sidecar) = serving(&file).await;
    for generation in 2..5 {
        file.replace(&numbered(generation));
        file::replaced(&sidecar, generation - 1).await;
        assert_eq!(names(&sidecar.alice()).await, file::names_of(generation));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_that_kubernetes_turns_to_another_folder_is_noticed_every_time() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let turn = |to: u64| {
        let inside = format!("..{to}");
        fs::create_dir(at(&inside)).unwrap();
        fs::write(at(&inside).join("tools.yaml"), numbered(to)).unwrap();
        symlink(&inside, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    turn(1);
    symlink("..data/tools.yaml", at("tools.yaml")).unwrap();
    let backend = FakeBackend::start();
    let path = at("tools.yaml");
    let setup = Setup::before(&backend).set("catalogue.file", path.to_str().unwrap());
    let sidecar = setup.start().await;
    for generation in 2..5 {
        turn(generation);
        fs::remove_dir_all(at(&format!("..{}", generation - 1))).unwrap();
        file::replaced(&sidecar, generation - 1).await;
        assert_eq!(names(&sidecar.alice()).await, file::names_of(generation));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_a_link_leads_to_is_watched_where_it_is() {
    let file = CatalogueFile::with(&numbered(1));
    let elsewhere = tempfile::TempDir::new().unwrap();
    let link = elsewhere.path().join("tools.yaml");
    std::os::unix::fs::symlink(file.path(), &link).unwrap();
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).set("catalogue.file", link.to_str().unwrap());
    let sidecar = setup.start().await;
    for generation in 2..4 {
        file.replace(&numbered(generation));
        file::replaced(&sidecar, generation - 1).await;
    }
}

#[tokio::test]
async fn a_file_with_problems_changes_nothing_until_it_is_mended() {
    let file = CatalogueFile::with(&numbered(1));
    let (_backend, sidecar) = serving(&file).await;
    assert!(readiness(&sidecar).await.1.contains("catalogue: ok\n"));
    let broken = numbered(2).replace("effect: read", "effect: reed");
    file.replace(&broken);
    let record = file::wait(&sidecar, |record| record.refused == 1).await;
    assert_eq!(record.replaced, 0);
    assert_eq!(names(&sidecar.alice()).await, file::names_of(1));
    let call = sidecar.alice().calls("list_notes", json!({})).await;
    call.good();
    let (status, said) = readiness(&sidecar).await;
    let remark = said.lines().find(|line| line.starts_with("catalogue: "));
    let remark = remark.unwrap_or_else(|| panic!("{said}"));
    assert!(
        remark.contains("the file has 30 problems since 20"),
        "{remark}"
    );
    assert!(
        remark.ends_with("still serving generation 1 (see the log)"),
        "{remark}"
    );
    assert_eq!(status, 200, "{said}");
    file.replace(&numbered(3));
    file::replaced(&sidecar, 1).await;
    assert_eq!(names(&sidecar.alice()).await, file::names_of(3));
    assert!(readiness(&sidecar).await.1.contains("catalogue: ok\n"));
}

#[tokio::test]
async fn a_file_that_is_gone_or_no_text_changes_nothing_either() {
    let file = CatalogueFile::with(&numbered(1));
    let (_backend, sidecar) = serving(&file).await;
    fs::remove_file(file.path()).unwrap();
    file::wait(&sidecar, |record| record.refused == 1).await;
    fs::write(file.path(), [0xff, 0xfe]).unwrap();
    file::wait(&sidecar, |record| record.refused == 2).await;
    assert_eq!(names(&sidecar.alice()).await, file::names_of(1));
    file.replace(&numbered(1));
    let record = file::wait(&sidecar, |record| record.trouble.is_none()).await;
    assert_eq!(record.replaced, 0);
}

#[tokio::test]
async fn a_new_file_cannot_have_our_tools_where_organizations_are_chosen() {
    let file = CatalogueFile::with(&numbered(1));
    let backend = FakeBackend::start();
    let setup = before(&backend, &file)
        .set("tenant.mode", "backend")
        .set("tenant.default", "acme")
        .without("tenant.id");
    let sidecar = setup.start().await;
    file.replace(&numbered(2).replace("ping_2_0:", "select_workspace:"));
    file::wait(&sidecar, |record| record.refused == 1).await;
    let listed = names(&sidecar.alice()).await;
    assert!(listed.contains(&"ping_1_0".to_owned()), "{listed:?}");
}

#[tokio::test]
async fn without_watching_the_file_is_read_when_somebody_asks() {
    let file = CatalogueFile::with(&numbered(1));
    let backend = FakeBackend::start();
    let setup = before(&backend, &file).set("catalogue.watch", "false");
    let sidecar = setup.start().await;
    file::wait(&sidecar, |record| record.looks == 1).await;
    file.replace(&numbered(2));
    sidecar.reload.request();
    let record = file::replaced(&sidecar, 1).await;
    assert_eq!(record.looks, 2);
    assert_eq!(names(&sidecar.alice()).await, file::names_of(2));
}

#[tokio::test]
async fn a_session_is_opened_as_the_catalogue_of_the_call_says() {
    let file = CatalogueFile::with(&numbered(1));
    let (backend, sidecar) = serving(&file).await;
    file.replace(&numbered(2).replace(
        "open: POST /v1/sync/sessions",
        "open: POST /v2/sync/sessions",
    ));
    file::replaced(&sidecar, 1).await;
    let call = sidecar.alice().calls("list_notes", json!({})).await;
    call.failed();
    let complaints = backend.take_complaints();
    assert!(
        complaints[0].contains("/v2/sync/sessions"),
        "{complaints:?}"
    );
}
