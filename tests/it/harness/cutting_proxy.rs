//! A TCP proxy that cuts: it stands before a server, and a connection through it ends after exactly so many bytes of one
//! way, by a reset, in order, or by silence. In: a target and [`Cut`]s. Out: what passed on each connection, to be waited
//! for. A cut takes no byte from its sender that it does not hand on, so that nobody is told of a delivery that never was.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use super::{Backend, in_time};

/// Stands before a server; its connections end with it.
pub(crate) struct CuttingProxy {
    url: String,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

/// Where and how a connection is to be cut. Each cuts one connection, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) way: Way,
    /// This many bytes of that way pass. The cut is made as soon as they have; at 0, as soon as the first byte is there.
    pub(crate) after: u64,
    pub(crate) how: How,
    pub(crate) since: Since,
}

/// Which bytes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// How the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// By a reset on both sides.
    Abort,
    /// In order, on both sides.
    Finish,
    /// Not at all: nothing passes any more in this way, for as long as the proxy stands.
    Stall,
}

/// From where the bytes are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// From the beginning of the next connection that no other cut is meant for.
    Opening,
    /// From the beginning of the connection with this number, the first being 0.
    OpeningOf(usize),
    /// From where a client, on whichever connection, says this: `POST /v1/notes`. Bytes to the client are those that come
    /// after it was said, which without pipelining is the answer.
    Said(&'static str),
}

/// What passed on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) to_server: u64,
    pub(crate) to_client: u64,
    /// How it was cut.
    pub(crate) cut: Option<How>,
    /// Neither side is connected any more.
    pub(crate) is_over: bool,
}

struct State {
    target: Mutex<String>,
    cuts: Mutex<Vec<Cut>>,
    passed: watch::Sender<Vec<Passed>>,
}

/// One connection: which one it is, and where each way of it ends.
struct Link<'a> {
    state: &'a State,
    number: usize,
    limits: Mutex<[Option<(u64, How)>; 2]>,
}

/// Why a way of a connection carries nothing more.
enum Ended {
    Cut(How),
    /// One side is gone.
    Lost,
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Lost
    }
}

impl Cut {
    /// A reset after this many bytes of the next connection.
    pub(crate) fn abort(way: Way, after: u64) -> Self {
        Self {
            way,
            after,
            how: How::Abort,
            since: Since::Opening,
        }
    }

    /// The same in another manner.
    pub(crate) fn by(self, how: How) -> Self {
        Self { how, ..self }
    }

    /// The same, counted from elsewhere.
    pub(crate) fn since(self, since: Since) -> Self {
        Self { since, ..self }
    }
}

impl CuttingProxy {
    /// Stands before this server, and cuts nothing yet.
    pub(crate) async fn before(server: &(impl Backend + ?Sized)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            target: Mutex::new(authority(&server.url())),
            cuts: Mutex::new(Vec::new()),
            passed: watch::Sender::new(Vec::new()),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self {
            url,
            state,
            accepting,
        }
    }

    /// Sends new connections there from now on.
    pub(crate) fn aims_at(&self, server: &(impl Backend + ?Sized)) {
        *self.state.target.lock().unwrap() = authority(&server.url());
    }

    /// Cuts as told, behind what it was told before.
    pub(crate) fn cuts(&self, cut: Cut) {
        self.state.cuts().push(cut);
    }

    /// The cuts that no connection has met.
    pub(crate) fn left(&self) -> Vec<Cut> {
        self.state.cuts().clone()
    }

    /// Cuts nothing more.
    pub(crate) fn forgets(&self) {
        self.state.cuts().clear();
    }

    /// What passed so far, by connection.
    pub(crate) fn passed(&self) -> Vec<Passed> {
        self.state.passed.borrow().clone()
    }

    /// Waits until it is so.
    pub(crate) async fn until(&self, is_so: impl FnMut(&Vec<Passed>) -> bool) -> Vec<Passed> {
        let mut passed = self.state.passed.subscribe();
        in_time(passed.wait_for(is_so)).await.unwrap().clone()
    }

    /// Waits until this many connections were cut.
    pub(crate) async fn has_cut(&self, connections: usize) -> Vec<Passed> {
        let cut = |all: &Vec<Passed>| all.iter().filter(|it| it.cut.is_some()).count();
        self.until(|all| cut(all) >= connections).await
    }
}

impl Backend for CuttingProxy {
    fn url(&self) -> String {
        self.url.clone()
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl State {
    fn cuts(&self) -> MutexGuard<'_, Vec<Cut>> {
        self.cuts.lock().unwrap()
    }

    /// The first cut that fits, which is then nobody else's.
    fn take(&self, fits: impl Fn(&Cut) -> bool) -> Option<Cut> {
        let mut cuts = self.cuts();
        let at = cuts.iter().position(fits)?;
        Some(cuts.remove(at))
    }
}

fn authority(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (client, _) = accepted.unwrap();
                let mut number = 0;
                state.passed.send_modify(|all| {
                    number = all.len();
                    all.push(Passed::default());
                });
                let state = Arc::clone(&state);
                connections.spawn(async move { carry(client, &state, number).await });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection from its beginning to its end.
async fn carry(mut client: TcpStream, state: &State, number: usize) {
    let link = Link {
        state,
        number,
        limits: Mutex::new([None; 2]),
    };
    let own = state.take(|cut| cut.since == Since::OpeningOf(number));
    if let Some(cut) = own.or_else(|| state.take(|cut| cut.since == Since::Opening)) {
        link.limit(cut, 0);
    }
    let target = state.target.lock().unwrap().clone();
    if let Ok(mut server) = TcpStream::connect(target).await {
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        if let Err(ended) = exchange(&mut client, &mut server, &link).await {
            end(&mut client, &mut server, &ended).await;
        }
        drop(server);
    }
    drop(client);
    link.counts(|passed| passed.is_over = true);
}

/// Both ways until both have ended, or one of them was cut.
async fn exchange(
    client: &mut TcpStream,
    server: &mut TcpStream,
    link: &Link<'_>,
) -> Result<(), Ended> {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let there = pass(Way::ToServer, from_client, to_server, link);
    let back = pass(Way::ToClient, from_server, to_client, link);
    tokio::try_join!(there, back).map(|_| ())
}

async fn end(client: &mut TcpStream, server: &mut TcpStream, ended: &Ended) {
    match ended {
        Ended::Cut(How::Finish) => {
            let _ = client.shutdown().await;
            let _ = server.shutdown().await;
            // Unread bytes would turn the orderly end into a reset.
            let mut nowhere = tokio::io::sink();
            let _ = tokio::io::copy(client, &mut nowhere).await;
            let _ = tokio::io::copy(server, &mut nowhere).await;
        }
        Ended::Cut(How::Abort | How::Stall) | Ended::Lost => {
            for stream in [client, server] {
                let _ = SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
            }
        }
    }
}

/// What a client says may come in two pieces, so this much of the former one is kept.
const LONGEST_SAID: usize = 128;

/// One way of a connection: looks at what is there, takes what may pass, and hands it on.
async fn pass(
    way: Way,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    link: &Link<'_>,
) -> Result<(), Ended> {
    let mut buffer = vec![0; 16 * 1024];
    let mut before = Vec::new();
    loop {
        let there = from.peek(&mut buffer).await?;
        if there == 0 {
            to.shutdown().await?;
            return Ok(());
        }
        if way == Way::ToServer {
            link.hears(&before, &buffer[..there]);
        }
        let may = link.allowed(way, there);
        from.read_exact(&mut buffer[..may]).await?;
        to.write_all(&buffer[..may]).await?;
        before.extend_from_slice(&buffer[..may]);
        before.drain(..before.len().saturating_sub(LONGEST_SAID));
        link.counts(|passed| *passed.of(way) += may as u64);
        if let Some(how) = link.reached(way) {
            link.counts(|passed| passed.cut = Some(how));
            if how == How::Stall {
                std::future::pending::<()>().await;
            }
            return Err(Ended::Cut(how));
        }
    }
}

impl Link<'_> {
    fn limit(&self, cut: Cut, from: u64) {
        self.limits.lock().unwrap()[cut.way as usize] = Some((from + cut.after, cut.how));
    }

    /// Looks for what cuts wait for, in bytes that have not been handed on and the last ones that have.
    fn hears(&self, before: &[u8], news: &[u8]) {
        let heard = [before, news].concat();
        let place = |cut: &Cut| match cut.since {
            Since::Said(said) => {
                let mut places = heard.windows(said.len());
                let at = places.position(|place| place == said.as_bytes());
                // Not what was complete before: a cut is for what is said after it was asked for.
                at.filter(|at| at + said.len() > before.len())
            }
            Since::Opening | Since::OpeningOf(_) => None,
        };
        let Some(cut) = self.state.take(|cut| place(cut).is_some()) else {
            return;
        };
        let passed = self.passed();
        let from = match cut.way {
            Way::ToClient => passed.to_client,
            Way::ToServer => {
                let at = passed.to_server + place(&cut).unwrap_or_default() as u64;
                at.saturating_sub(before.len() as u64)
            }
        };
        self.limit(cut, from);
    }

    /// How many of so many bytes may pass.
    fn allowed(&self, way: Way, there: usize) -> usize {
        let passed = *self.passed().of(way);
        let limit = self.limits.lock().unwrap()[way as usize];
        limit.map_or(there, |(limit, _)| {
            there.min(usize::try_from(limit.saturating_sub(passed)).unwrap())
        })
    }

    /// How the way is to end, if it has come so far.
    fn reached(&self, way: Way) -> Option<How> {
        let passed = *self.passed().of(way);
        let limit = self.limits.lock().unwrap()[way as usize];
        limit.and_then(|(limit, how)| (passed >= limit).then_some(how))
    }

    fn passed(&self) -> Passed {
        self.state.passed.borrow()[self.number]
    }

    fn counts(&self, change: impl FnOnce(&mut Passed)) {
        let number = self.number;
        self.state
            .passed
            .send_modify(|all| change(&mut all[number]));
    }
}

impl Passed {
    fn of(&mut self, way: Way) -> &mut u64 {
        match way {
            Way::ToServer => &mut self.to_server,
            Way::ToClient => &mut self.to_client,
        }
    }
}
