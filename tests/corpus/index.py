"""Every kind of bad input, and the tests that hold it: A a payer's messages, B a bank's XML, C its lines, E its seals, G its SFTP server.

A test is named as pytest names it; what stands behind a ``[`` is how one of its parameters begins, and means every such test. The
numbers are those of the list of bad inputs that the gateway was specified with; `test_index` fails where a
name fits no test, or a number is missing.
"""

from __future__ import annotations

from typing import NamedTuple

#: How many cases each section has.
SECTIONS = {"A": 28, "B": 22, "C": 21, "E": 20, "G": 14}


class Case(NamedTuple):
    """One kind of bad input."""

    id: str
    what: str
    tests: tuple[str, ...]


XML = "tests/codec/test_xml.py::"
HOSTILE = XML + "test_hostile_documents_are_refused"
ISO = "tests/adapters/test_iso20022_read.py::"
OWN = "tests/adapters/test_standard_file_read.py::"
BAD_FILE = OWN + "test_a_bad_file_is_refused"
COLUMNS = "tests/codec/test_columns.py::"
READING = "tests/flow/test_reading.py::"
MESSAGE = READING + "test_a_spoilt_message"
ODD_LINE = "tests/flow/test_reading_lines.py::test_an_odd_line"
COLLECT = "tests/flow/test_collect.py::"
WRONG_SEAL = COLLECT + "test_a_wrong_seal"
DOOR = "tests/flow/test_collect_door.py::"
LINES = "tests/flow/test_collect_lines.py::"
ODD = "tests/flow/test_collect_odd.py::"
XMLDSIG = "tests/edge/test_xmldsig.py::"
REFUSED = XMLDSIG + "test_refused"
CMS = "tests/codec/test_cms.py::"
SPOILT = CMS + "test_one_thing_wrong_is_enough"
SEALS = "tests/edge/test_seals.py::"
KEYS = "tests/edge/test_keys.py::"
SM2 = "tests/edge/test_sm2.py::"
WIRES = "tests/edge/test_wires.py::"
SFTP = "tests/edge/test_sftp.py::"
LINE = "tests/edge/test_sftp_line.py::"
FOLDER = "tests/edge/test_folder_wire.py::"
PEERS = "tests/edge/test_sftp_peers.py::"


def payers() -> list[Case]:
    """A: a payer's messages and lines, which have a corpus of their own."""
    found = {
        1: ("an empty body", (f"{MESSAGE}[A1 ",)),
        2: ("bytes of another charset", (f"{MESSAGE}[A2 ",)),
        3: ("JSON that stops, or goes on", (f"{MESSAGE}[A3 ",)),
        4: ("nesting without end", (f"{MESSAGE}[A4 ", f"{ODD_LINE}[A4 ")),
        5: ("a body too large", (READING + "test_a5_too_large",)),
        6: ("a key twice", (f"{MESSAGE}[A6 ", f"{ODD_LINE}[A6 ")),
        7: ("numbers that are none", (f"{MESSAGE}[A7 ", f"{ODD_LINE}[A7 ")),
        8: ("amounts that are no integers", (f"{ODD_LINE}[A8 ", ISO + "test_amounts_that_are_none")),
        9: ("amounts outside the limits", (f"{MESSAGE}[A9 ", f"{ODD_LINE}[A9 ")),
        10: ("thousands of digits", (f"{MESSAGE}[A10 ", f"{ODD_LINE}[A10 ")),
        11: ("a field missing or too many", (f"{MESSAGE}[A11 ", f"{ODD_LINE}[A11 ")),
        12: ("another content type or encoding", (f"{MESSAGE}[A12 ",)),
        13: ("no message id, or a strange one", (f"{MESSAGE}[A13 ", READING + "test_a13_no_message_id")),
        14: ("a message again", (READING + "test_a14_a_message_again",)),
        15: ("a message id with other content", (READING + "test_a15_a_message_id_with_other_content",)),
        16: ("an instruction id of another run", (READING + "test_a16_an_instruction_id_of_another_run",)),
        17: ("an unknown version", (f"{MESSAGE}[A17 ",)),
        18: ("an unknown bank", (f"{ODD_LINE}[A18 ",)),
        19: ("an id number that fails its check", (f"{ODD_LINE}[A19 ",)),
        20: ("characters that no name has", (f"{ODD_LINE}[A20 ",)),
        21: (
            "a name that the bank's charset lacks",
            (f"{ODD_LINE}[A21 ", "tests/flow/test_reading_lines.py::test_a21_a_bank_whose_charset_is_smaller"),
        ),
        22: ("dots in names", (f"{ODD_LINE}[A22 ",)),
        23: ("forged headers", (f"{MESSAGE}[A23 ",)),
        24: ("a reply address inside", (f"{MESSAGE}[A24 ",)),
        25: ("a time of another year", (f"{MESSAGE}[A25 ",)),
        26: ("fewer lines than declared", (f"{MESSAGE}[A26 ", READING + "test_a26_one_chunk_missing")),
        27: ("a whitelist change in a payment", (f"{ODD_LINE}[A27 ",)),
        28: ("a formula or HTML in a remark", (f"{ODD_LINE}[A28 ",)),
    }
    return [Case(f"A{number}", what, tests) for number, (what, tests) in found.items()]


BANKS_XML = [
    Case("B1", "entities that multiply", (f"{HOSTILE}[B1 ", f"{REFUSED}[B1 ")),
    Case("B2", "one long entity, often", (f"{HOSTILE}[B2 ",)),
    Case("B3", "entities from files and networks", (f"{HOSTILE}[B3 ",)),
    Case("B4", "types, stylesheets and schemas from elsewhere", (f"{HOSTILE}[B4 ", f"{REFUSED}[B4 ")),
    Case("B5", "an entity inside an amount", (f"{HOSTILE}[B5 ", f"{REFUSED}[B5 ")),
    Case("B6", "a comment inside an amount", (f"{HOSTILE}[B6 ", ISO + "test_amounts_that_are_none")),
    Case("B7", "too deep", (f"{HOSTILE}[B7 ", XML + "test_depth_256_is_taken", f"{REFUSED}[B7 ")),
    Case("B8", "too long a text", (f"{HOSTILE}[B8 ",)),
    Case("B9", "too many attributes", (XML + "test_too_many_attributes_are_refused", XML + "test_attributes_are_counted_in_every_row")),
    Case("B10", "compressed", (XML + "test_compressed_bytes_are_never_expanded", f"{REFUSED}[B10 ")),
    Case("B11", "another charset than declared", (f"{HOSTILE}[B11 ", f"{REFUSED}[B11 ")),
    Case("B12", "not well-formed", (f"{HOSTILE}[B12 ", f"{REFUSED}[B12 ")),
    Case("B13", "cut anywhere", (
        XML + "test_a_document_that_stops_is_truncated_at_every_byte", ISO + "test_truncation_at_every_byte",
        DOOR + "test_truncated_inside_the_seal",
    )),
    Case("B14", "a value twice", (f"{ISO}test_another_shape_is_refused[B14 ", XML + "test_a_value_that_stands_there_twice_is_refused")),
    Case("B15", "a name of another namespace", (f"{ISO}test_another_shape_is_refused[B15 ", XML + "test_a_word_of_another_namespace_is_refused")),
    Case("B16", "a status nobody knows", (f"{LINES}test_a_line_that_no_rule_can_apply[B16 ", LINES + "test_an_unknown_code_on_the_whole_file")),
    Case("B17", "a payment that is not in that Document", (
        f"{LINES}test_a_line_that_no_rule_can_apply[B17 ", LINES + "test_b17_another_banks_payment", LINES + "test_b17_another_documents_payment",
    )),
    Case("B18", "another amount than ordered", (f"{LINES}test_a_line_that_no_rule_can_apply[B18 ",)),
    Case("B19", "paid and failed in one file", (COLLECT + "test_b19_paid_and_failed_in_one_file",)),
    Case("B20", "totals that do not add up", (COLLECT + "test_b20_other_totals", COLLECT + "test_a_receipt_with_other_totals")),
    Case("B21", "a result for what was never sent", (
        COLLECT + "test_b21_a_result_for_what_was_never_sent", COLLECT + "test_a_result_for_what_is_sealed_and_did_not_leave",
    )),
    Case("B22", "a reader's own defaults", (f"{HOSTILE}[B3 ", XML + "test_memory_does_not_grow_with_the_document")),
]  # fmt: skip

BANKS_LINES = [
    Case("C1", "the last line cut", (f"{BAD_FILE}[C1 ", OWN + "test_cut_anywhere_it_is_refused", DOOR + "test_f30_cut_at_every_place")),
    Case("C2", "no trailer", (f"{BAD_FILE}[C2 ",)),
    Case("C3", "quotes", (f"{BAD_FILE}[C3 ", COLUMNS + "test_quotes_are_ordinary_characters")),
    Case("C4", "the separator inside a name", (f"{BAD_FILE}[C4 ", f"{ODD_LINE}[C4 ", OWN + "test_a_name_may_hold_the_separators_byte")),
    Case("C5", "other line ends", (f"{BAD_FILE}[C5 ", COLUMNS + "test_crlf_where_the_format_says_so")),
    Case("C6", "characters that only look like line ends", (f"{BAD_FILE}[C6 ", COLUMNS + "test_controls_are_never_text")),
    Case("C7", "widths in characters instead of bytes", (COLUMNS + "test_fixed_counts_bytes", COLUMNS + "test_a_narrow_text_field_counts_bytes")),
    Case("C8", "half a character", (f"{BAD_FILE}[C8 ",)),
    Case("C9", "a byte order mark", (f"{BAD_FILE}[C9 ",)),
    Case("C10", "a file in another charset", (f"{BAD_FILE}[C10 ",)),
    Case("C11", "NUL", (f"{BAD_FILE}[C11 ",)),
    Case("C12", "amounts written as elsewhere", (f"{BAD_FILE}[C12 ",)),
    Case("C13", "blanks in names", (COLUMNS + "test_ideographic_spaces_stay", f"{ODD_LINE}[blanks inside")),
    Case("C14", "a header of another day", (COLLECT + "test_c14_header_of_another_day", COLLECT + "test_e18_last_months_result")),
    Case("C15", "a record nobody knows", (f"{BAD_FILE}[C15 ",)),
    Case("C16", "no bytes at all", (f"{BAD_FILE}[C16 ", DOOR + "test_rubbish")),
    Case("C17", "a header alone", (COLLECT + "test_c17_header_only", OWN + "test_an_empty_result_is_valid")),
    Case("C18", "a line without end", (f"{BAD_FILE}[C18 ", COLUMNS + "test_a_line_without_end_takes_no_memory", DOOR + "test_above_the_size_cap")),
    Case("C19", "a number twice", (f"{BAD_FILE}[C19 ",)),
    Case("C20", "a gap between parts", (ODD + "test_c20_a_part_is_missing", COLLECT + "test_parts_in_any_order")),
    Case("C21", "packed", (ODD + "test_c21_packed", XML + "test_a_zip_is_not_looked_into")),
]  # fmt: skip

BANKS_SEALS = [
    Case("E1", "no seal", (f"{WRONG_SEAL}[E1 ", f"{REFUSED}[E1 ")),
    Case("E2", "one byte changed", (f"{WRONG_SEAL}[E2 ", f"{REFUSED}[E2 ", SEALS + "test_every_changed_byte_is_found")),
    Case("E3", "an impostor's key", (f"{WRONG_SEAL}[E3 ", f"{REFUSED}[E3 ")),
    Case("E4", "wrapped or moved", (f"{REFUSED}[E4 ",)),
    Case("E5", "an Id twice", (f"{REFUSED}[E5 ",)),
    Case("E6", "two signatures", (f"{REFUSED}[E6 ",)),
    Case("E7", "comments in the signature", (f"{REFUSED}[E7 ",)),
    Case("E8", "transforms and references elsewhere", (f"{REFUSED}[E8 ",)),
    Case("E9", "weak algorithms and keys", (
        f"{REFUSED}[E9 ", KEYS + "test_weak_and_foreign_keys_are_refused", XMLDSIG + "test_a_short_key_is_no_key", f"{SPOILT}[E9 ",
    )),
    Case("E10", "HMAC with a public key", (f"{REFUSED}[E10 ",)),
    Case("E11", "expired, early, taken back, for another use", (
        XMLDSIG + "test_an_expired_or_early_pin_is_cert", SEALS + "test_a_pin_outside_its_validity_believes_nothing",
        SEALS + "test_no_pin_believes_nothing", KEYS + "test_a_certificate_for_another_use_is_refused",
    )),
    Case("E12", "another bank's certificate", (f"{WRONG_SEAL}[E12 ", SEALS + "test_another_banks_seal_is_not_this_banks")),
    Case("E13", "no reference, an empty one, or two", (f"{REFUSED}[E13 ",)),
    Case("E14", "CMS of another shape", (f"{SPOILT}[E14 ", CMS + "test_made_by_others_in_a_shape_that_we_refuse")),
    Case("E15", "CMS that is not DER", (f"{SPOILT}[E15 ",)),
    Case("E16", "what a wrong envelope tells", (
        "tests/edge/test_signed.py::test_a_wrong_envelope_never_tells_which_part_was_wrong", SM2 + "test_a_wrong_ciphertext_says_nothing_but_that",
    )),
    Case("E17", "SM2 numbers, spellings and keys", (
        SM2 + "test_numbers_outside_the_order_do_not_hold", SM2 + "test_a_signature_has_one_spelling", SM2 + "test_a_point_off_the_curve_is_no_key",
        SM2 + "test_raw_and_der_are_one_signature", SM2 + "test_openssl_and_we_verify_each_other",
    )),
    Case("E18", "last month's content", (COLLECT + "test_e18_last_months_result",)),
    Case("E19", "a test environment's key", (ODD + "test_e19_a_key_of_the_banks_test_environment",)),
    Case("E20", "the same bytes, sealed again", (COLLECT + "test_the_same_words_again_have_no_effect",)),
]  # fmt: skip

BANKS_SERVER = [
    Case("G1", "hostile names", (
        WIRES + "test_no_hostile_name_is_read_or_written", SFTP + "test_only_plain_files_under_allowed_names_are_listed",
        SFTP + "test_case_twins_are_two_files",
    )),
    Case("G2", "links, pipes, folders", (SFTP + "test_what_is_no_plain_file_is_not_read", FOLDER + "test_only_plain_files_are_listed_and_read")),
    Case("G3", "a file that grows", (
        SFTP + "test_a_growing_file_is_not_listed", SFTP + "test_a_file_that_changes_while_it_is_read_is_not_taken",
        FOLDER + "test_a_growing_file_is_not_listed",
    )),
    Case("G4", "temporary names", (SFTP + "test_only_plain_files_under_allowed_names_are_listed",)),
    Case("G5", "a file that vanishes", (WIRES + "test_a_vanished_file_is_not_sent", DOOR + "test_one_unreadable_file_blocks_no_other")),
    Case("G6", "a file replaced after it was read", (SFTP + "test_a_file_that_was_replaced_is_not_put_aside",)),
    Case("G7", "very many names", (SFTP + "test_many_names", WIRES + "test_listing_has_a_cap_and_the_oldest_come_first")),
    Case("G8", "another host key", (
        LINE + "test_another_host_key_is_unverified_and_nothing_else", LINE + "test_a_host_key_of_another_kind_is_unverified",
    )),
    Case("G9", "ciphers of old peers", (PEERS + "test_ciphers_that_terrapin_needs_are_not_spoken",)),
    Case("G10", "a server's clock that is off", (PEERS + "test_a_server_whose_clock_is_hours_off",)),
    Case("G11", "another bank's place", (WIRES + "test_another_banks_place_is_not_reached",)),
    Case("G12", "a marker before its data", (ODD + "test_g12_a_marker_before_its_data", WIRES + "test_an_empty_file_is_listed_and_read")),
    Case("G13", "no room, told at the end", (SFTP + "test_a_quota_shows_while_writing_or_only_at_the_end",)),
    Case("G14", "a name that is taken", (
        SFTP + "test_a_server_that_overwrites_is_not_asked_to", FOLDER + "test_a_name_that_is_taken_is_in_doubt",
        WIRES + "test_the_same_name_again_never_overwrites",
    )),
]  # fmt: skip

CASES = [*payers(), *BANKS_XML, *BANKS_LINES, *BANKS_SEALS, *BANKS_SERVER]
