//! Which test shows which fault: each line that the exporter claims to survive, and each clause of
//! its security, by the names of the tests that attack it.
//!
//! The table is held against the sources, so that it names no test that is not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Fault, and the tests that show what becomes of it.
const TABLE: [(&str, &[&str]); 54] = [
    (
        "1 429 with Retry-After",
        &[
            "nobody_sends_until_a_retry_after_in_seconds_is_over",
            "nobody_sends_before_the_date_of_a_retry_after",
            "a_clock_that_is_set_during_a_run_changes_nothing",
        ],
    ),
    (
        "2 429 that tells the quota",
        &[
            "the_quota_in_the_text_of_a_refusal_is_learned_and_kept",
            "five_a_minute_are_five_a_minute_from_then_on",
        ],
    ),
    (
        "3 429 for ever",
        &[
            "a_meeting_that_is_always_throttled_ends_with_its_retries",
            "a_deadline_ends_a_silence_and_keeps_what_is_whole",
            "a_silence_longer_than_any_run_waits_ends_it_and_says_so",
        ],
    ),
    (
        "4 5xx and codes that mean busy",
        &["what_means_busy_is_asked_again_until_it_comes"],
    ),
    (
        "5 500 for ever on one page",
        &["a_large_meeting_with_one_broken_page_leaves_nothing_behind"],
    ),
    (
        "6 a broken line",
        &[
            "a_broken_line_is_asked_again_until_it_holds",
            "a_line_that_breaks_for_ever_costs_its_meeting_only",
            "a_refused_connection_is_tried_again_until_the_server_is_there",
            "an_answer_that_breaks_off_for_ever_is_named_by_the_id_in_its_head",
        ],
    ),
    (
        "7 nonsense with 200",
        &[
            "nonsense_that_claims_success_is_asked_again",
            "null_data_is_an_empty_meeting_only_where_count_says_so",
            "numbers_in_texts_are_numbers",
        ],
    ),
    (
        "8 too large, too deep",
        &[
            "a_body_over_the_cap_is_refused_at_the_cap",
            "a_decompression_bomb_is_refused_with_memory_bounded",
            "nesting_without_end_is_refused_and_nothing_overflows",
            "no_answer_takes_more_memory_than_a_few_times_its_length",
        ],
    ),
    (
        "9 a token that dies, App ID",
        &[
            "a_token_that_dies_mid_run_costs_one_login_and_no_page",
            "a_token_code_is_believed_under_any_status",
            "a_token_that_is_always_refused_ends_the_run_after_one_new_login",
            "a_login_that_fails_in_passing_is_made_again",
        ],
    ),
    (
        "10 a token that dies, static",
        &[
            "a_dead_static_token_ends_the_run_and_a_new_one_finishes_it",
            "a_refused_token_exits_with_3_and_says_what_to_do",
        ],
    ),
    (
        "11 a meeting that is forbidden or unknown",
        &["a_forbidden_or_unknown_meeting_costs_one_request_and_the_others_go_on"],
    ),
    (
        "12 a redirect",
        &[
            "a_redirect_is_not_followed_and_the_token_stays",
            "a_redirect_of_a_store_is_not_followed",
        ],
    ),
    ("13 a clamped limit", &["the_page_size_follows_a_clamp"]),
    (
        "14 a short page",
        &["a_short_page_is_filled_from_where_it_ended"],
    ),
    (
        "15 a count that moves",
        &["a_count_that_moves_and_settles_is_read_again_as_it_settled"],
    ),
    (
        "16 a count that never settles",
        &["a_meeting_that_never_settles_is_absent_after_bounded_restarts"],
    ),
    (
        "17 shifts and random order",
        &[
            "a_shift_behind_an_unchanged_count_is_seen_and_read_again",
            "a_random_order_that_settles_is_read_in_the_settled_order",
            "whatever_a_server_does_to_its_pages_nothing_comes_out_silently_wrong",
            "a_shift_that_leaves_count_alone_never_passes_unseen",
        ],
    ),
    (
        "18 offsets that are ignored or beyond the end",
        &[
            "an_ignored_offset_and_rows_not_asked_for_are_detected",
            "no_offset_at_or_beyond_the_count_is_ever_asked_for",
        ],
    ),
    (
        "19 a record that cannot be read",
        &["a_record_that_cannot_be_read_is_named_and_never_skipped"],
    ),
    (
        "20 odd texts and unknown members",
        &["odd_texts_and_unknown_members_never_lose_a_row"],
    ),
    (
        "21 odd times",
        &[
            "odd_times_are_kept_named_and_counted",
            "times_in_seconds_are_no_days_of_1970_and_floats_are_numbers",
            "a_time_long_after_its_answer_is_out_of_range",
        ],
    ),
    (
        "22 kill -9 at any moment",
        &[
            "a_run_that_dies_at_any_step_shows_no_half_and_the_next_one_finishes",
            "a_hundred_kills_lose_nothing_double_nothing_and_cost_what_was_in_flight",
            "a_large_meeting_that_is_killed_twenty_times_is_fetched_once",
            "a_reader_that_looks_all_the_time_never_sees_half_a_meeting",
            "a_spool_that_is_lost_or_torn_costs_requests_and_nothing_else",
        ],
    ),
    (
        "23 power loss",
        &[
            "a_staged_part_that_a_power_loss_tore_is_fetched_again",
            "a_staged_part_torn_by_a_power_loss_takes_its_commit_with_it",
        ],
    ),
    (
        "24 a disk that is full or read-only",
        &[
            "a_full_disk_is_named_and_the_rerun_completes",
            "a_disk_that_takes_nothing_is_named_before_the_first_request",
            "a_part_that_cannot_be_written_is_named_and_the_rerun_completes",
            "a_call_that_is_refused_for_good_is_not_made_again_and_the_next_run_finishes",
        ],
    ),
    (
        "25 a store that fails, is slow or loses its answer",
        &[
            "a_call_that_fails_once_is_made_again_wherever_it_is",
            "a_store_that_is_gone_from_some_call_on_leaves_what_the_next_run_finishes",
            "a_slow_store_is_waited_for",
            "a_put_whose_answer_was_lost_is_settled_by_what_stands_there",
        ],
    ),
    (
        "25b a store that ignores If-None-Match",
        &["a_store_that_creates_a_name_twice_is_found_out_and_used_with_care"],
    ),
    (
        "25c a part that is deleted or altered",
        &[
            "a_damaged_part_is_named_and_its_meetings_are_asked_for_again",
            "what_is_damaged_is_dropped_and_exactly_that_is_fetched_again",
            "a_part_altered_behind_its_own_date_is_dropped_by_a_new_entry_alone",
        ],
    ),
    (
        "26 two runs at once",
        &[
            "two_runs_at_once_commit_each_meeting_once",
            "a_run_says_who_else_is_at_work_and_what_was_done_in_the_meantime",
            "runs_that_race_commit_each_meeting_once",
        ],
    ),
    (
        "27 SIGTERM and Ctrl-C",
        &[
            "a_signal_commits_what_is_whole_and_the_rerun_finishes",
            "a_signal_does_not_wait_for_an_answer_that_may_never_come",
            "a_second_signal_ends_the_run_at_once",
        ],
    ),
    (
        "28 meeting lists",
        &[
            "a_bad_list_is_refused_by_file_and_line",
            "a_list_of_one_endless_line_is_refused_briefly",
            "a_hundred_thousand_lines_keep_their_order",
            "every_form_brings_the_same_meetings",
        ],
    ),
    (
        "29 a clock that is set",
        &[
            "a_clock_that_is_set_during_a_run_changes_nothing",
            "a_clock_that_is_an_hour_late_is_named_after_one_login",
        ],
    ),
    (
        "34 a clock that is wrong",
        &[
            "hours_off_the_servers_time_decides_and_both_are_told",
            "weeks_off_the_window_is_refused_and_the_next_run_misses_nothing",
            "without_a_date_to_believe_this_machines_clock_serves_with_a_warning",
            "how_far_a_run_got_in_the_future_is_not_believed",
            "sixty_nights_with_wrong_clocks_lose_nothing_either",
        ],
    ),
    (
        "30 a closed standard output",
        &[
            "a_reader_that_leaves_early_ends_the_run_quietly",
            "a_reader_of_standard_output_that_has_left_is_no_failure",
        ],
    ),
    (
        "35 other credentials",
        &[
            "what_is_owed_is_still_owed_with_other_credentials",
            "a_meeting_that_other_credentials_found_is_not_given_up_for_a_list_without_it",
            "other_credentials_look_back_as_far_and_list_all_of_it",
        ],
    ),
    (
        "36 the list of all for who is no administrator",
        &[
            "the_list_of_all_is_refused_to_who_is_no_administrator",
            "where_the_site_does_not_tell_who_asks_the_list_decides",
            "an_export_of_all_by_who_is_no_administrator_exits_with_3_and_the_reason",
        ],
    ),
    (
        "37 a meeting that is refused like the token",
        &[
            "one_meeting_refused_like_the_token_is_absent_and_the_others_go_on",
            "many_refused_meetings_cost_one_login",
            "a_token_that_dies_after_a_refused_meeting_ends_the_run_all_the_same",
            "a_new_token_is_tried_again_after_a_second",
        ],
    ),
    (
        "38 a row of the list that cannot be read",
        &["a_row_of_the_list_that_cannot_be_read_costs_its_own_meeting_alone"],
    ),
    (
        "39 an outage",
        &[
            "where_nobody_answers_one_request_at_a_time_asks_and_one_cause_ends_the_run",
            "an_outage_that_ends_costs_no_meeting",
            "meetings_that_fail_for_ever_are_no_outage_while_others_are_answered",
            "an_outage_exits_with_1_and_names_its_cause_once",
        ],
    ),
    (
        "40 Retry-After anywhere, and a quota that is not told",
        &[
            "a_retry_after_is_heeded_whatever_the_status",
            "a_retry_after_of_a_day_is_capped",
            "a_refusal_that_tells_no_quota_halves_the_rate",
            "a_refusal_without_a_hint_halves_the_rate_which_recovers_slowly",
            "a_quota_in_other_words_is_learned",
        ],
    ),
    (
        "41 what stands around values from outside, and secrets in the wrong place",
        &[
            "what_stands_around_a_variable_of_a_store_is_not_sent",
            "a_variable_that_no_store_can_use_is_refused_before_any_request",
            "no_value_of_any_variable_makes_the_client_panic",
            "an_identifier_is_sent_without_what_stands_around_it",
            "a_variable_that_cannot_be_cleaned_is_refused_by_its_name",
            "a_password_file_is_read_without_its_mark_and_its_line_end",
            "a_secret_file_that_holds_no_secret_is_refused_by_its_name",
            "a_secret_in_the_config_file_is_never_shown",
            "no_word_of_a_line_is_repeated",
            "a_run_that_panics_ends_with_its_report_its_metrics_and_1",
        ],
    ),
    (
        "security: memory and caches",
        &[
            "no_crash_of_a_run_writes_its_memory_into_a_file",
            "no_request_wants_to_be_answered_by_a_cache",
            "meetings_that_are_answered_with_the_same_records_are_named",
        ],
    ),
    (
        "security: redirects",
        &[
            "a_redirect_is_not_followed_and_the_token_stays",
            "a_redirect_of_a_store_is_not_followed",
        ],
    ),
    (
        "security: the token is shown nowhere",
        &[
            "a_header_with_a_token_is_marked_and_not_shown",
            "the_token_is_shown_nowhere",
            "no_log_and_no_file_tells_a_secret_or_whom_was_searched_for",
        ],
    ),
    (
        "33 records that come late",
        &[
            "records_that_come_late_are_found_by_the_first_page_and_their_meetings_replaced",
            "what_is_filled_in_later_is_found_though_the_count_is_the_same",
            "empty_meetings_that_the_list_shows_are_asked_for_again_for_three_days",
            "a_replacement_that_dies_at_any_step_leaves_the_old_or_the_new_and_the_rerun_finishes",
        ],
    ),
    (
        "44 a ledger that was cut or forged",
        &[
            "the_last_entry_that_is_removed_with_its_part_is_named_and_no_repair_forgets_it",
            "an_entry_that_is_forged_with_its_part_is_named_and_not_repaired",
        ],
    ),
    (
        "security: no query string in errors",
        &["what_the_server_says_is_shown_without_control_characters_or_the_search_key"],
    ),
    (
        "security: proxies",
        &[
            "a_proxy_of_the_environment_is_asked_for_a_tunnel_and_hears_nothing_else",
            "what_is_not_encrypted_never_goes_through_a_proxy",
            "neither_a_store_on_this_machine_nor_its_credentials_are_asked_for_through_a_proxy",
            "what_a_store_is_asked_in_the_clear_never_goes_through_a_proxy",
            "of_an_encrypted_store_a_proxy_hears_the_name_alone",
            "a_whole_run_into_a_store_on_this_machine_sends_nothing_through_a_proxy",
        ],
    ),
    (
        "security: the cap counts what is unpacked",
        &["a_decompression_bomb_is_refused_with_memory_bounded"],
    ),
    (
        "security: nesting",
        &["an_unknown_member_is_kept_as_deep_as_readers_can_follow"],
    ),
    (
        "security: UUIDs and file names",
        &[
            "refuses_what_could_leave_a_url_or_a_folder",
            "no_file_is_named_after_a_meeting",
        ],
    ),
    (
        "security: control characters",
        &[
            "nothing_that_the_server_says_steers_the_terminal",
            "nothing_from_the_api_steers_the_terminal",
        ],
    ),
    (
        "security: who may read what is written",
        &[
            "what_is_written_has_the_mode_asked_for",
            "nobody_else_may_read_a_spool",
        ],
    ),
    (
        "security: temporary files",
        &["a_file_is_not_made_through_a_link"],
    ),
    (
        "security: TLS",
        &[
            "a_certificate_that_nobody_vouches_for_is_refused_before_the_token_is_sent",
            "no_setting_turns_verification_off",
        ],
    ),
];

/// The names of all functions in the sources below a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.lines().filter_map(|line| {
                let (_, name) = line.split_once("fn ")?;
                Some(name.split_once('(')?.0.to_owned())
            });
            found.extend(names);
        }
    }
}

#[test]
fn every_fault_has_tests_and_they_are_there() {
    let mut found = BTreeSet::new();
    for folder in ["src", "tests"] {
        functions(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
            &mut found,
        );
    }
    for (fault, tests) in TABLE {
        assert!(!tests.is_empty(), "{fault}");
        for test in tests {
            assert!(found.contains(*test), "{fault}: {test}");
        }
    }
    let lines: Vec<_> = TABLE
        .iter()
        .filter_map(|(fault, _)| fault.split(' ').next())
        .collect();
    for line in (1..=30)
        .map(|line| line.to_string())
        .chain(["25b".into(), "25c".into()])
    {
        assert!(lines.contains(&&*line), "line {line}");
    }
}
