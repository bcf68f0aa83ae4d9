use super::*;
use crate::bus::testing::alter_object;
use crate::registry::models::object_name;
use crate::registry::testing::{begun, file, registry, stored, version};

#[tokio::test]
async fn a_registry_begins_once_and_with_one_model() {
    let (server, registry) = registry().await;
    assert_eq!(registry.pointer().await.unwrap(), None);
    let error = registry.promote(&version(1), Revision(0), "", 0).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotInitialised { .. }), "{error}");
    let error = registry.initialise(&version(1), 5).await.unwrap_err();
    assert!(matches!(error, RegistryError::Incomplete { .. }), "{error}");

    stored(&registry, 1).await;
    stored(&registry, 2).await;
    let first = version(1);
    let begin = (0..8).map(|_| registry.initialise(&first, 5));
    let begun: Vec<_> = futures::future::join_all(begin).await.into_iter().map(Result::unwrap).collect();
    assert!(begun.iter().all(|pointer| *pointer == begun[0]));
    let pointer = registry.promote(&version(2), begun[0].revision, "better", 6).await.unwrap();
    assert_eq!(registry.initialise(&version(1), 7).await.unwrap(), pointer, "a restart leaves it as it is");
    let error = registry.initialise(&version(2), 7).await.unwrap_err();
    assert!(matches!(error, RegistryError::AlreadyInitialised { .. }), "{error}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn of_promotions_that_race_one_wins_and_the_others_are_told() {
    let (server, registry, pointer) = begun(8).await;
    let candidates: Vec<_> = (2..=8).map(version).collect();
    let promotions = candidates.iter().map(|version| registry.promote(version, pointer.revision, "better", 9));
    let outcomes = futures::future::join_all(promotions).await;
    let winners: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    assert_eq!(winners.len(), 1);
    let now = registry.pointer().await.unwrap().unwrap();
    assert_eq!(now, *winners[0]);
    for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert!(
            matches!(error, RegistryError::Moved { found, active, .. } if *found == now.revision && *active == now.active),
            "{error}"
        );
    }
    assert_eq!(now.history.len(), 2);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn changes_that_do_not_depend_on_a_revision_all_come_through_a_race() {
    let (server, registry, mut pointer) = begun(6).await;
    for number in 2..=6 {
        pointer = registry.promote(&version(number), pointer.revision, "better", 0).await.unwrap();
    }
    let rollbacks = (0..4).map(|_| registry.rollback("f00d", "bad", 1));
    let control = Control { version: version(2), share: 0.25 };
    let (rolled_back, controlled) =
        tokio::join!(futures::future::join_all(rollbacks), registry.set_control(Some(control.clone())));
    assert!(rolled_back.iter().all(Result::is_ok), "{rolled_back:?}");
    controlled.unwrap();
    let now = registry.pointer().await.unwrap().unwrap();
    assert_eq!((now.active, now.control, now.previous), (version(2), Some(control), vec![version(1)]));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_model_that_is_not_whole_in_the_store_is_not_promoted() {
    let (server, registry, pointer) = begun(2).await;
    let error = registry.promote(&version(3), pointer.revision, "", 0).await.unwrap_err();
    let text = format!("model {0} can't be used: model {0} of pipeline \"shop\" not found", version(3));
    assert!(error.to_string().starts_with(&text), "{error}");
    alter_object(&registry.models, &object_name(&version(2))).await;
    for outcome in [
        registry.promote(&version(2), pointer.revision, "", 0).await,
        registry.set_control(Some(Control { version: version(2), share: 0.5 })).await,
    ] {
        let error = outcome.unwrap_err();
        assert!(matches!(error, RegistryError::Incomplete { .. }), "{error}");
    }
    assert_eq!(registry.pointer().await.unwrap().unwrap(), pointer);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn rolling_back_passes_models_that_are_damaged_and_ends_at_the_last() {
    let (server, registry, mut pointer) = begun(3).await;
    for number in 2..=3 {
        pointer = registry.promote(&version(number), pointer.revision, "better", 0).await.unwrap();
    }
    alter_object(&registry.models, &object_name(&version(2))).await;
    let pointer = registry.rollback("f00d", "bad", 7).await.unwrap();
    assert_eq!((pointer.active.clone(), pointer.previous.len()), (version(1), 0));
    let last = pointer.history.last().unwrap();
    assert_eq!((last.from.clone(), last.reason.as_str(), last.at_micros), (Some(version(3)), "bad", 7));
    let error = registry.rollback("f00d", "bad", 8).await.unwrap_err();
    assert!(matches!(error, RegistryError::NothingBefore { .. }), "{error}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_roll_back_is_held_until_somebody_promotes_or_resumes() {
    let (server, registry, pointer) = begun(3).await;
    let pointer = registry.promote(&version(2), pointer.revision, "better", 0).await.unwrap();
    let pointer = registry.promote(&version(3), pointer.revision, "better", 0).await.unwrap();
    assert!(!pointer.held);
    let held = registry.rollback("f00d", "worse", 1).await.unwrap();
    assert!(held.held && registry.note_folder(&version(1)).await.unwrap().held);
    assert_eq!(registry.pointer().await.unwrap().unwrap(), held, "the folder's file was known");

    let resumed = registry.resume().await.unwrap();
    assert_eq!((resumed.held, &resumed.active, &resumed.history), (false, &held.active, &held.history));
    assert_eq!(registry.resume().await.unwrap(), resumed, "nothing was written");

    let held = registry.rollback("f00d", "worse", 2).await.unwrap();
    assert_eq!((held.active.clone(), held.held), (version(1), true));
    let promoted = registry.promote(&version(1), held.revision, "it is meant", 3).await.unwrap();
    assert_eq!(
        (promoted.active.clone(), promoted.held, promoted.history.len()),
        (version(1), false, held.history.len())
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn rolling_back_passes_models_of_another_vector() {
    let (server, registry, mut pointer) = begun(3).await;
    for number in 2..=3 {
        pointer = registry.promote(&version(number), pointer.revision, "better", 0).await.unwrap();
    }
    let record = crate::registry::ModelRecord::initial(&file(2), "beef", 2);
    registry.store(file(2), &record).await.unwrap();
    assert_eq!(registry.rollback("f00d", "worse", 1).await.unwrap().active, version(1));
    let error = registry.rollback("beef", "worse", 2).await.unwrap_err();
    assert!(matches!(error, RegistryError::NothingBefore { .. }), "{error}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_candidate_is_whole_in_the_store_and_none_once_it_is_active() {
    let (server, registry, _) = begun(2).await;
    let error = registry.set_candidate(Some(version(3))).await.unwrap_err();
    assert!(matches!(error, RegistryError::Incomplete { .. }), "{error}");
    let pointer = registry.set_candidate(Some(version(2))).await.unwrap();
    assert_eq!(pointer.candidate, Some(version(2)));
    let pointer = registry.promote(&version(2), pointer.revision, "by the gate", 0).await.unwrap();
    assert_eq!(pointer.candidate, None);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_share_that_is_none_is_refused_and_promoting_what_is_active_changes_nothing() {
    let (server, registry, pointer) = begun(2).await;
    for share in [-0.1, 1.1, f64::NAN] {
        let error = registry.set_control(Some(Control { version: version(1), share })).await.unwrap_err();
        assert!(matches!(error, RegistryError::InvalidShare { .. }), "{error}");
    }
    assert_eq!(registry.promote(&version(1), pointer.revision, "again", 3).await.unwrap(), pointer);
    let control = Some(Control { version: version(2), share: 0.1 });
    assert_eq!(registry.set_control(control.clone()).await.unwrap().control, control);
    assert_eq!(registry.set_control(None).await.unwrap().control, None);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_pointer_of_a_newer_kind_is_left_alone() {
    let (server, registry, pointer) = begun(1).await;
    let newer =
        r#"{"active":"000000000001","previous":[],"control":null,"first":"000000000001","history":[],"shadow":1}"#;
    registry.pointers.update(POINTER, Bytes::from(newer), pointer.revision).await.unwrap();
    let error = registry.rollback("f00d", "bad", 0).await.unwrap_err();
    assert!(matches!(error, RegistryError::UnreadablePointer { .. }), "{error}");
    server.stop().await.unwrap();
}
