//! The clients of CDNs against a provider that verifies what the real ones verify, and fails as they do.

use std::time::{Duration, Instant};

use stratus_agent::cache::{CacheClients, HostNames};
use stratus_agent::layout::Layout;
use stratus_core::Environment;
use stratus_core::cache::{Cleaner, Clear, ClearError, Cleared, Parts, Scope, Target};
use stratus_core::environment::caches::{CloudFront, Cloudflare, Fastly};
use stratus_core::environment::{Caches, Setting};
use stratus_tests::cloud::aws::{self, DISTRIBUTION, KEY_ID, SECRET, refusal};
use stratus_tests::cloud::{Asked, Cloud, Does};
use stratus_tests::laws::sample;

const CDNS: [Target; 3] = [Target::CloudFront, Target::Fastly, Target::Cloudflare];

/// A shop whose CDNs are all at `cloud`.
fn shop(cloud: &Cloud) -> Environment {
    let endpoint = Some(cloud.endpoint());
    let caches = Caches {
        cloudfront: Some(CloudFront {
            distribution: DISTRIBUTION.to_owned(),
            key_id: KEY_ID.into(),
            secret: Setting::secret(SECRET),
            endpoint: endpoint.clone(),
        }),
        fastly: Some(Fastly {
            service: "SU1Z0isxPaozGVKXdv0eY".to_owned(),
            token: Setting::secret("fastly-token"),
            endpoint: endpoint.clone(),
        }),
        cloudflare: Some(Cloudflare {
            zone: "023e105f4ecef8ad9ca31a8372d0c353".to_owned(),
            token: Setting::secret("cloudflare-token"),
            endpoint,
        }),
        ..Caches::default()
    };
    Environment {
        caches,
        ..sample::environment("shop")
    }
}

fn clients() -> CacheClients {
    let layout = Layout::new("/nowhere", "5f3a9c".parse().unwrap());
    CacheClients::new(layout, std::sync::Arc::new(HostNames))
}

async fn clear(cloud: &Cloud, target: &Target, scope: &Scope) -> Result<Cleared, ClearError> {
    clear_as(cloud, target, scope, "reference-1").await
}

/// The same under another reference.
async fn clear_as(
    cloud: &Cloud,
    target: &Target,
    scope: &Scope,
    reference: &str,
) -> Result<Cleared, ClearError> {
    let shop = shop(cloud);
    let clear = Clear {
        environment: &shop,
        live: None,
        target,
        scope,
        reference,
        sessions: &[],
    };
    clients().clear(clear).await
}

/// Says that everything was done, in the words of whoever is asked.
fn content(asked: &Asked) -> Does {
    if asked.path.contains("/distribution/") {
        return aws::cloudfront(asked);
    }
    Does::say(200, "{\"success\": true, \"status\": \"ok\"}")
}

fn parts(urls: &[&str], tags: &[&str], paths: &[&str]) -> Scope {
    let set = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
    Scope::Parts(Parts {
        urls: set(urls),
        tags: set(tags),
        paths: set(paths),
    })
}

#[tokio::test]
async fn an_invalidation_has_the_signature_that_amazon_computes_and_a_batch_that_it_reads() {
    let cloud = Cloud::remembering(aws::account).await;
    let cleared = clear(&cloud, &Target::CloudFront, &Scope::ALL).await;
    assert_eq!(cleared.unwrap().receipt.as_deref(), Some("I2J0I21PCUYOIK"));
    let scope = parts(&["https://shop.example/a?b=1&c=%20"], &[], &["/media/*"]);
    let other = clear_as(&cloud, &Target::CloudFront, &scope, "reference-2").await;
    other.unwrap();
    let asked = cloud.asked();
    let batches: Vec<_> = asked.iter().map(|a| aws::batch(&a.body).unwrap()).collect();
    assert_eq!(batches[0].reference, "reference-1");
    assert!(batches[0].paths.iter().eq(["/*"]));
    assert!(batches[1].paths.iter().eq(["/a?b=1&c=%20", "/media/*"]));
}

#[tokio::test]
async fn a_reference_is_one_invalidation_and_another_one_is_refused_under_it() {
    let cloud = Cloud::remembering(aws::account).await;
    for _ in 0..2 {
        let again = clear(&cloud, &Target::CloudFront, &Scope::ALL).await;
        assert!(again.unwrap().receipt.is_some());
    }
    let other = clear(&cloud, &Target::CloudFront, &parts(&[], &[], &["/m"])).await;
    assert!(
        matches!(other, Err(ClearError::Refused { .. })),
        "{other:?}"
    );
}

#[tokio::test]
async fn a_hundred_addresses_are_purged_and_the_failure_of_one_is_one_of_all() {
    let cloud = Cloud::start(content).await;
    let urls: Vec<String> = (0..100)
        .map(|n| format!("https://shop.example/{n}"))
        .collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    clear(&cloud, &Target::Fastly, &parts(&urls, &[], &[]))
        .await
        .unwrap();
    let asked = cloud.asked();
    let paths: std::collections::BTreeSet<_> = asked.iter().map(|a| &a.path).collect();
    assert_eq!((asked.len(), paths.len()), (100, 100));
    // The failure of one is the failure of all.
    cloud.then([Does::say(500, "oops")]);
    let failed = clear(&cloud, &Target::Fastly, &parts(&urls, &[], &[])).await;
    assert!(
        matches!(failed, Err(ClearError::Unavailable { .. })),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_signature_of_another_secret_is_refused() {
    let cloud = Cloud::start(aws::cloudfront).await;
    let mut shop = shop(&cloud);
    if let Some(cloudfront) = &mut shop.caches.cloudfront {
        cloudfront.secret = Setting::secret("another");
    }
    let clear = Clear {
        environment: &shop,
        live: None,
        target: &Target::CloudFront,
        scope: &Scope::ALL,
        reference: "reference-1",
        sessions: &[],
    };
    let refused = clients().clear(clear).await.unwrap_err();
    assert!(matches!(refused, ClearError::Refused { .. }), "{refused:?}");
    let text = refused.to_string();
    assert!(
        text.contains("SignatureDoesNotMatch") && !text.contains("another\""),
        "{text}"
    );
}

#[tokio::test]
async fn an_invalidation_is_done_when_amazon_says_so() {
    let cloud = Cloud::start(aws::cloudfront).await;
    let in_progress =
        "<Invalidation><Id>I2J0I21PCUYOIK</Id><Status>InProgress</Status></Invalidation>";
    cloud.then([Does::say(200, in_progress)]);
    let (shop, clients) = (shop(&cloud), clients());
    let done = |receipt: &'static str| clients.is_done(&shop, &Target::CloudFront, receipt);
    assert_eq!(done("I2J0I21PCUYOIK").await, Ok(false));
    assert_eq!(done("I2J0I21PCUYOIK").await, Ok(true));
    assert!(matches!(
        done("I404").await,
        Err(ClearError::Refused { .. })
    ));
    let asked = cloud.asked().len();
    assert!(matches!(
        done("../x").await,
        Err(ClearError::Refused { .. })
    ));
    assert_eq!(
        cloud.asked().len(),
        asked,
        "what is no receipt is asked of nobody"
    );
}

#[tokio::test]
async fn fastly_is_asked_for_a_service_for_keys_and_for_addresses() {
    let cloud = Cloud::start(content).await;
    clear(&cloud, &Target::Fastly, &Scope::ALL).await.unwrap();
    let scope = parts(&["https://shop.example/about?a=1"], &["p1", "p2"], &[]);
    clear(&cloud, &Target::Fastly, &scope).await.unwrap();
    let asked = cloud.asked();
    let lines: Vec<_> = asked
        .iter()
        .map(|a| format!("{} {} {}", a.method, a.path, a.header("surrogate-key")))
        .collect();
    assert_eq!(
        lines,
        [
            "POST /service/SU1Z0isxPaozGVKXdv0eY/purge_all ",
            "POST /service/SU1Z0isxPaozGVKXdv0eY/purge p1 p2",
            "POST /purge/shop.example/about?a=1 ",
        ]
    );
    assert!(
        asked
            .iter()
            .all(|a| a.header("fastly-key") == "fastly-token")
    );
}

#[tokio::test]
async fn cloudflare_is_asked_for_a_zone_for_tags_and_for_addresses_thirty_at_a_time() {
    let cloud = Cloud::start(content).await;
    clear(&cloud, &Target::Cloudflare, &Scope::ALL)
        .await
        .unwrap();
    let urls: Vec<String> = (0..31)
        .map(|n| format!("https://shop.example/{n:02}"))
        .collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    clear(&cloud, &Target::Cloudflare, &parts(&urls, &["p1"], &[]))
        .await
        .unwrap();
    let asked = cloud.asked();
    let path = "/client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/purge_cache";
    assert!(asked.iter().all(|a| a.path == path && a.method == "POST"));
    assert!(
        asked
            .iter()
            .all(|a| a.header("authorization") == "Bearer cloudflare-token")
    );
    let bodies: Vec<serde_json::Value> = asked
        .iter()
        .map(|a| serde_json::from_str(&a.body).unwrap())
        .collect();
    assert_eq!(bodies[0], serde_json::json!({"purge_everything": true}));
    assert_eq!(bodies[1]["files"].as_array().unwrap().len(), 30);
    assert_eq!(
        bodies[2],
        serde_json::json!({"files": ["https://shop.example/30"]})
    );
    assert_eq!(bodies[3], serde_json::json!({"tags": ["p1"]}));
}

#[tokio::test]
async fn a_success_that_purged_nothing_is_none() {
    let cloud = Cloud::start(content).await;
    let said =
        "{\"success\": false, \"errors\": [{\"code\": 1012, \"message\": \"no such zone\"}]}";
    cloud.then([Does::say(200, said)]);
    let refused = clear(&cloud, &Target::Cloudflare, &Scope::ALL)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("no such zone"), "{refused}");
}

#[tokio::test]
async fn who_is_told_to_come_later_knows_when() {
    let cloud = Cloud::start(content).await;
    let soon = jiff_date(Duration::from_secs(90));
    for target in &CDNS {
        for (header, least, most) in [
            ("Retry-After: 7".to_owned(), 7, 7),
            (format!("Retry-After: {soon}"), 60, 91),
        ] {
            cloud.then([Does::with(429, &header)]);
            let error = clear(&cloud, target, &Scope::ALL).await.unwrap_err();
            let ClearError::Throttled { after, .. } = error else {
                panic!("{target}: {error:?}");
            };
            let after = after.expect("it said when").as_secs();
            assert!((least..=most).contains(&after), "{target}: {after}");
        }
    }
    cloud.then([refusal(400, "TooManyInvalidationsInProgress", "later")]);
    let error = clear(&cloud, &Target::CloudFront, &Scope::ALL)
        .await
        .unwrap_err();
    assert!(matches!(error, ClearError::Throttled { .. }), "{error:?}");
}

/// A date as HTTP has it, so far in the future.
fn jiff_date(ahead: Duration) -> String {
    let at = std::process::Command::new("date")
        .args(["-u", "-d", &format!("+{} seconds", ahead.as_secs())])
        .arg("+%a, %d %b %Y %H:%M:%S GMT")
        .env("LC_ALL", "C")
        .output()
        .expect("date runs");
    String::from_utf8_lossy(&at.stdout).trim().to_owned()
}

#[tokio::test]
async fn failures_that_may_pass_and_refusals_are_told_apart_and_no_token_is_told() {
    let cloud = Cloud::start(content).await;
    for target in &CDNS {
        for (does, passes) in [
            (Does::say(500, "oops"), true),
            (Does::say(503, ""), true),
            (Does::Reset, true),
            (Does::Cut, true),
            (Does::say(401, "who are you"), false),
            (Does::say(403, ""), false),
            (Does::with(302, "Location: http://169.254.169.254/"), false),
        ] {
            cloud.then([does.clone()]);
            let error = clear(&cloud, target, &Scope::ALL).await.unwrap_err();
            let may_pass = matches!(error, ClearError::Unavailable { .. });
            assert_eq!(may_pass, passes, "{target}, {does:?}: {error:?}");
            let text = error.to_string();
            let secret = ["fastly-token", "cloudflare-token", SECRET];
            assert!(secret.iter().all(|s| !text.contains(s)), "{text}");
        }
        clear(&cloud, target, &Scope::ALL).await.unwrap();
    }
}

#[tokio::test]
async fn a_provider_that_hangs_is_left_before_the_worker_gives_up() {
    let cloud = Cloud::start(|_| Does::Hang).await;
    let began = Instant::now();
    let tries = CDNS.iter().map(|target| clear(&cloud, target, &Scope::ALL));
    for result in futures_util::future::join_all(tries).await {
        let error = result.unwrap_err();
        assert!(matches!(error, ClearError::Unavailable { .. }), "{error:?}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn nobody_listens() {
    let gone = Cloud::start(content).await;
    let shop = shop(&gone);
    drop(gone);
    for target in &CDNS {
        let clear = Clear {
            environment: &shop,
            live: None,
            target,
            scope: &Scope::ALL,
            reference: "reference-1",
            sessions: &[],
        };
        let error = clients().clear(clear).await.unwrap_err();
        assert!(matches!(error, ClearError::Unavailable { .. }), "{error:?}");
    }
}
