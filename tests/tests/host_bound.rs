//! The socket of one environment: who may connect, what it reaches, and when it is there.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;

use hyper_util::rt::TokioIo;
use stratus_proto::v1 as p;
use stratus_proto::v1::caches_client::CachesClient;
use stratus_proto::v1::doctor_client::DoctorClient;
use stratus_proto::v1::environments_client::EnvironmentsClient;
use stratus_proto::v1::nginx_client::NginxClient;
use stratus_proto::v1::operations_client::OperationsClient;
use stratus_proto::v1::releases_client::ReleasesClient;
use stratus_proto::v1::submit_request::Action;
use stratus_tests::stage::{Output, Place, Running, Server, Shop, binary, command};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// The password of the other environment's database: it must never be seen on the socket of this one.
const SECRET: &str = "the-secret-of-blog";

/// `shop` and `blog` on one server, which has no nginx and deploys nothing.
struct Two {
    stage: Running,
    blog: Shop,
}

impl Two {
    async fn start(name: &str) -> Self {
        let stage = Running::make(name, 1, "").unwrap();
        let blog = Shop::make(&stage.place.code().join("blog")).unwrap();
        let mut two = Self { stage, blog };
        two.configure(&["shop", "blog"]);
        two.stage.server = Some(Server::start(&two.stage.place).await.unwrap());
        two
    }

    fn place(&self) -> &Place {
        &self.stage.place
    }

    fn configure(&self, names: &[&str]) {
        let database = format!(
            "    database: {{host: mysql, name: blog, user: blog, password: {SECRET}}}\n    drain: 30s\n"
        );
        let text = |name: &&str| match *name {
            "shop" => self.stage.shop.yaml("shop", ""),
            name => {
                let text = self.blog.yaml(name, "");
                let text = text.replace("stratus/php-fpm:8.2", "stratus/there-is-none:1");
                text.replace("    drain: 30s\n", &database)
            }
        };
        let all: String = names.iter().map(text).collect();
        self.place().configure(&all).unwrap();
    }

    fn socket(&self, environment: &str) -> PathBuf {
        self.place()
            .root
            .join("env")
            .join(environment)
            .join("stratus.sock")
    }

    /// Runs the CLI on the socket of an environment.
    async fn on(&self, environment: &str, arguments: &[&str]) -> Output {
        let server = format!("unix:{}", self.socket(environment).display());
        let all = [&["--server", &server], arguments].concat();
        let program = binary("stratus").unwrap();
        command(&program.to_string_lossy(), &all)
            .run()
            .await
            .unwrap()
    }

    /// The same as another user.
    async fn as_user(&self, user: &str, environment: &str, arguments: &[&str]) -> Output {
        let program = self.place().root.join("stratus");
        if !program.exists() {
            fs::copy(binary("stratus").unwrap(), &program).unwrap();
        }
        let server = format!("unix:{}", self.socket(environment).display());
        let (user, group) = (format!("--reuid={user}"), format!("--regid={user}"));
        let program = program.to_string_lossy();
        let first = [
            &*user,
            &group,
            "--clear-groups",
            &program,
            "--server",
            &server,
        ];
        command("setpriv", &[&first, arguments].concat())
            .run()
            .await
            .unwrap()
    }

    async fn channel(&self, environment: &str) -> Channel {
        let path = self.socket(environment);
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move {
                tokio::net::UnixStream::connect(path)
                    .await
                    .map(TokioIo::new)
            }
        });
        let endpoint = Endpoint::from_static("http://stratus");
        endpoint.connect_with_connector(connector).await.unwrap()
    }
}

/// What both streams hold.
fn said(output: &Output) -> String {
    format!("{}{}", output.stdout, output.stderr)
}

#[track_caller]
fn refused(output: &Output, words: &str) {
    let text = said(output);
    assert_eq!(output.code, 1, "{output}");
    assert!(text.contains("ERROR") && text.contains(words), "{output}");
    assert!(!text.contains(SECRET), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_socket_of_an_environment_no_name_is_needed_and_no_other_is_reached() {
    let two = Two::start("bound").await;
    let listed = two
        .on("shop", &["environments.list"])
        .await
        .success()
        .unwrap();
    assert!(
        listed.stdout.contains("shop") && !said(&listed).contains("blog"),
        "{listed}"
    );
    let status = two.on("shop", &["status"]).await.success().unwrap();
    assert!(
        status.stdout.contains("shop") && !said(&status).contains("blog"),
        "{status}"
    );
    // Named by nobody: on the operator's socket this is refused where there are two.
    two.on("shop", &["cache.all.clear"])
        .await
        .success()
        .unwrap();
    two.on("shop", &["--env", "shop", "cache.all.clear"])
        .await
        .success()
        .unwrap();
    assert_ne!(two.place().cli(&["cache.all.clear"]).await.unwrap().code, 0);

    for command in [
        "status",
        "database.config",
        "zerodowntime.init",
        "deploy",
        "releases.list",
    ] {
        let words = "bound to the environment shop: \"blog\" cannot be reached";
        refused(&two.on("shop", &["--env", "blog", command]).await, words);
    }
    for command in ["environments.apply", "doctor"] {
        refused(
            &two.on("shop", &[command]).await,
            "this is for the operator",
        );
    }
    let own = two
        .on("blog", &["database.config"])
        .await
        .success()
        .unwrap();
    assert!(own.stdout.contains(SECRET), "{own}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_of_another_environment_are_not_there() {
    let two = Two::start("ops").await;
    // An operation of blog, which fails for there is no such image.
    let (code, failed) = two
        .place()
        .stratus(&["--env", "blog", "zerodowntime.init"])
        .await
        .unwrap();
    assert_eq!(code, 1, "{failed}");
    let all = two.place().done(&["operations.list"]).await.unwrap();
    let id = all["operations"][0]["operation"]
        .as_str()
        .unwrap()
        .to_owned();
    for verb in ["show", "watch", "cancel", "resume"] {
        let verb = format!("operations.{verb}");
        refused(
            &two.on("shop", &[&verb, &id]).await,
            "there is no operation",
        );
    }
    refused(
        &two.on("shop", &["operations.resolve", &id]).await,
        "this is for the operator",
    );
    for arguments in [
        &["operations.list"][..],
        &["operations.list", "--unfinished"],
    ] {
        let list = two.on("shop", arguments).await.success().unwrap();
        assert!(!said(&list).contains(&id), "{list}");
    }
    let list = two
        .on("blog", &["operations.list"])
        .await
        .success()
        .unwrap();
    assert!(list.stdout.contains(&id), "{list}");
}

/// A method's name and what it answers.
type Answer = (&'static str, Option<Status>);

macro_rules! ask {
    ($client:ident on $channel:expr, $method:ident, $message:expr) => {{
        let mut client = $client::new($channel.clone());
        let answer = client.$method($message).await;
        (stringify!($method), answer.err())
    }};
}

async fn environments(on: &Channel, name: &str) -> Vec<Answer> {
    let environment = name.to_owned();
    let show = p::ShowEnvironmentRequest { environment };
    let environment = name.to_owned();
    let status = p::StatusRequest { environment };
    let environment = name.to_owned();
    let diff = p::DiffRequest { environment };
    let environment = name.to_owned();
    let database = p::DatabaseRequest { environment };
    let environment = name.to_owned();
    let options = p::PhpOptionsRequest { environment };
    let closed = p::SetMaintenanceRequest {
        environment: name.to_owned(),
        enabled: true,
    };
    vec![
        ask!(EnvironmentsClient on on, show, show),
        ask!(EnvironmentsClient on on, apply, p::ApplyRequest { dry_run: true }),
        ask!(EnvironmentsClient on on, status, status),
        ask!(EnvironmentsClient on on, diff, diff),
        ask!(EnvironmentsClient on on, database, database),
        ask!(EnvironmentsClient on on, php_options, options),
        ask!(EnvironmentsClient on on, set_maintenance, closed),
    ]
}

async fn caches_and_releases(on: &Channel, name: &str) -> Vec<Answer> {
    let environment = name.to_owned();
    let list = p::ListReleasesRequest { environment };
    let pin = p::PinRequest {
        environment: name.to_owned(),
        release: "123456".into(),
    };
    let environment = name.to_owned();
    let update = p::UpdateNginxRequest { environment };
    let clear = p::ClearRequest {
        environment: name.to_owned(),
        kind: 1,
        ..p::ClearRequest::default()
    };
    let receipt = p::InvalidationRequest {
        environment: name.to_owned(),
        receipt: "I1".into(),
    };
    vec![
        ask!(ReleasesClient on on, list, list),
        ask!(ReleasesClient on on, pin, pin.clone()),
        ask!(ReleasesClient on on, unpin, pin),
        ask!(NginxClient on on, update, update),
        ask!(CachesClient on on, clear, clear),
        ask!(CachesClient on on, invalidation, receipt),
        ask!(DoctorClient on on, check, p::CheckRequest {}),
    ]
}

fn init(environment: &str) -> p::SubmitRequest {
    p::SubmitRequest {
        request_id: "one-and-the-same".into(),
        environment: environment.into(),
        dry_run: false,
        action: Some(Action::Init(p::Init::default())),
    }
}

async fn operations(on: &Channel, name: &str) -> Vec<Answer> {
    let list = p::ListOperationsRequest {
        environment: name.to_owned(),
        ..p::ListOperationsRequest::default()
    };
    let operation = "x".to_owned();
    let resolve = p::ResolveRequest { operation };
    vec![
        ask!(OperationsClient on on, submit, init(name)),
        ask!(OperationsClient on on, list, list),
        ask!(OperationsClient on on, resolve, resolve),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_that_names_an_environment_refuses_another_one() {
    let two = Two::start("named").await;
    let channel = two.channel("shop").await;
    let mut answers = environments(&channel, "blog").await;
    answers.extend(caches_and_releases(&channel, "blog").await);
    answers.extend(operations(&channel, "blog").await);
    for (method, refusal) in answers {
        let refusal = refusal.unwrap_or_else(|| panic!("{method} answered"));
        assert_eq!(
            refusal.code(),
            Code::PermissionDenied,
            "{method}: {refusal}"
        );
    }
    // The operation of another environment is not handed out to who repeats its request.
    let blogs = two.channel("blog").await;
    OperationsClient::new(blogs)
        .submit(init("blog"))
        .await
        .unwrap();
    let taken = OperationsClient::new(channel).submit(init("shop")).await;
    assert_eq!(taken.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_of_the_code_and_root_may_connect() {
    let two = Two::start("owner").await;
    let socket = two.socket("shop");
    let found = fs::metadata(&socket).unwrap();
    assert_eq!(
        (found.mode() & 0o777, found.uid(), found.gid()),
        (0o600, 1000, 1000)
    );
    let folder = fs::metadata(socket.parent().unwrap()).unwrap();
    assert_eq!((folder.mode() & 0o777, folder.uid()), (0o755, 0));

    let owner = two.as_user("1000", "shop", &["status"]).await;
    assert!(owner.success().unwrap().stdout.contains("shop"));
    let stranger = two.as_user("1001", "shop", &["status"]).await;
    assert_ne!(stranger.code, 0, "{stranger}");
    // Nor where the mode was changed by hand.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    refused(
        &two.as_user("1001", "shop", &["status"]).await,
        "is for user 1000 and root",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_come_and_go_with_their_environments_and_their_folders_stay() {
    let mut two = Two::start("comes").await;
    two.place().compose_up().await.unwrap();
    let folder = |two: &Two| {
        fs::metadata(two.socket("blog").parent().unwrap())
            .unwrap()
            .ino()
    };
    let mounted = folder(&two);
    two.configure(&["shop"]);
    two.place()
        .done(&["environments.apply", "--dry-run"])
        .await
        .unwrap();
    assert!(two.socket("blog").exists(), "a dry run changes nothing");
    two.place().done(&["environments.apply"]).await.unwrap();
    assert!(!two.socket("blog").exists());
    two.configure(&["shop", "blog"]);
    two.place().done(&["environments.apply"]).await.unwrap();
    two.on("blog", &["status"]).await.success().unwrap();
    assert_eq!(
        folder(&two),
        mounted,
        "a shell that has it mounted sees the new socket"
    );

    // Another owner of the code: another owner of the socket.
    chown(two.blog.code(), Some(1001), Some(1001)).unwrap();
    two.place().done(&["environments.apply"]).await.unwrap();
    assert_eq!(fs::metadata(two.socket("blog")).unwrap().uid(), 1001);
    two.on("blog", &["status"]).await.success().unwrap();

    // Killed, it leaves its sockets; the next one binds them anew, and removes what belongs to nobody.
    two.stage.server.take().unwrap().kill().await.unwrap();
    assert!(two.socket("blog").exists());
    two.configure(&["shop"]);
    two.stage.server = Some(Server::start(&two.stage.place).await.unwrap());
    two.on("shop", &["status"]).await.success().unwrap();
    assert!(!two.socket("blog").exists());
    assert_eq!(folder(&two), mounted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_the_servers_own_gets_no_socket() {
    let mut two = Two::start("folder").await;
    two.stage.server.take().unwrap().stop().await.unwrap();
    chown(two.socket("blog").parent().unwrap(), Some(1000), Some(1000)).unwrap();
    let server = Server::start(&two.stage.place).await.unwrap();
    let socket = two.socket("blog");
    assert!(std::os::unix::net::UnixStream::connect(&socket).is_err());
    assert!(
        server
            .log_tail()
            .contains("belongs to stratusd's user alone"),
        "{}",
        server.log_tail()
    );
    // The others have theirs, and the operator's is served.
    two.on("shop", &["status"]).await.success().unwrap();
    two.place().done(&["status"]).await.unwrap();
}
