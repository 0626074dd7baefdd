//! The contract of `Router`.

use stratus_core::route::{Closed, Links, RouteTable, Share, Site};
use stratus_core::router::RouterError;
use stratus_core::{Generation, Router};

/// Runs the whole contract on a router that serves `site`'s environment with no members and points it nowhere; pools
/// 1 and 2 of it exist and have as many members as `site` says.
pub async fn holds(router: &dyn Router, site: &Site) {
    links_begin_empty_and_point_where_they_are_told(router, site).await;
    a_table_is_loaded_once(router, site).await;
    only_the_live_generation_is_confirmed(router, site).await;
    a_site_is_closed_for_a_reason_and_opened_again(router, site).await;
}

fn at(live: u32, previous: u32) -> Links {
    let some = |number| (number > 0).then_some(Generation(number));
    Links {
        live: some(live),
        previous: some(previous),
        share: Share::All,
    }
}

async fn links_begin_empty_and_point_where_they_are_told(router: &dyn Router, site: &Site) {
    let shop = &site.environment;
    assert_eq!(router.links(shop).await.unwrap(), Links::default());
    for links in [
        at(1, 0),
        at(2, 1),
        at(2, 1),
        at(1, 2),
        at(0, 0),
        at(0, 0),
        at(1, 0),
    ] {
        router.flip(shop, links).await.unwrap();
        assert_eq!(router.links(shop).await.unwrap(), links);
    }
}

async fn a_table_is_loaded_once(router: &dyn Router, site: &Site) {
    let table = RouteTable {
        sites: vec![site.clone()],
        ..RouteTable::default()
    };
    let first = router.load(&table).await.unwrap();
    assert!(first.reloaded);
    let second = router.load(&table).await.unwrap();
    assert_eq!((second.revision, second.reloaded), (first.revision, false));
    let mut changed = table.clone();
    changed.sites[0]
        .hosts
        .push("another.example.test".to_owned());
    let third = router.load(&changed).await.unwrap();
    assert!(
        third.reloaded && third.revision > first.revision,
        "{third:?}"
    );
    router.settle().await.unwrap();
}

async fn a_site_is_closed_for_a_reason_and_opened_again(router: &dyn Router, site: &Site) {
    let shop = &site.environment;
    for closed in [false, true, true, false] {
        router
            .set_closed(shop, Closed::Maintenance, closed)
            .await
            .unwrap();
        assert_eq!(
            router.is_closed(shop, Closed::Maintenance).await.unwrap(),
            closed
        );
        assert!(!router.is_closed(shop, Closed::Overdue).await.unwrap());
    }
}

async fn only_the_live_generation_is_confirmed(router: &dyn Router, site: &Site) {
    let (shop, members) = (&site.environment, site.members);
    router.confirm(shop, Generation(1), members).await.unwrap();
    let refused = router.confirm(shop, Generation(2), members).await;
    assert!(
        matches!(refused, Err(RouterError::NotConfirmed { .. })),
        "{refused:?}"
    );
    router.flip(shop, at(2, 1)).await.unwrap();
    router.confirm(shop, Generation(2), members).await.unwrap();
}
