use super::*;

fn day(number: i64) -> Subject {
    Subject::Day(DateTime::UNIX_EPOCH + chrono::TimeDelta::days(number))
}

#[tokio::test(start_paused = true)]
async fn one_meeting_that_fails_for_ever_is_no_outage() {
    let outage = Outage::default();
    for _ in 0..100 {
        outage.failed(day(1));
    }
    outage.failed(day(2));
    assert!(!outage.is_out());
    outage.failed(day(3));
    assert!(outage.is_out());
}

#[tokio::test(start_paused = true)]
async fn any_answer_ends_the_count() {
    let outage = Outage::default();
    assert_eq!(outage.answered(), None);
    outage.failed(day(1));
    outage.failed(day(2));
    assert_eq!(outage.answered(), None);
    outage.failed(day(3));
    assert!(!outage.is_out());
}

#[tokio::test(start_paused = true)]
async fn a_login_without_answer_is_an_outage_at_once_that_no_late_page_ends() {
    let outage = Outage::default();
    assert_eq!(
        outage.missed_login(FailureKind::Transport, "gone"),
        (0, Duration::ZERO)
    );
    assert!(outage.is_out());
    tokio::time::advance(Duration::from_secs(7)).await;
    assert_eq!(outage.answered(), None);
    assert!(outage.is_out());
    let second = outage.missed_login(FailureKind::Transport, "gone");
    assert_eq!(second, (1, Duration::from_secs(7)));
    outage.ended_login();
    assert_eq!(outage.answered(), Some(Duration::from_secs(7)));
    assert!(!outage.is_out());
}

#[tokio::test(start_paused = true)]
async fn a_false_alarm_makes_the_next_one_later() {
    let outage = Outage::default();
    (0..3).for_each(|number| outage.failed(day(number)));
    assert!(outage.is_out());
    assert_eq!(outage.answered(), None);
    (0..5).for_each(|number| outage.failed(day(number)));
    assert!(!outage.is_out());
    outage.failed(day(5));
    assert!(outage.is_out());
    tokio::time::advance(Duration::from_secs(7)).await;
    outage.missed(FailureKind::Transport, "gone");
    assert_eq!(outage.answered(), Some(Duration::from_secs(7)));
    (0..6).for_each(|number| outage.failed(day(number)));
    assert!(outage.is_out(), "an outage that was one is no false alarm");
}
