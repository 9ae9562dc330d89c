"""The ledger on SQL: SQLite and PostgreSQL, one schema, one suite of tests.

``SqlLedger`` is the table of contents: every operation is a plain function over a transaction in one of the modules beside it, bound here to
the driver as a coroutine.
"""

from __future__ import annotations

from gateway.edge.ledger import (
    accept,
    actors,
    audit,
    byhand,
    collect,
    filing,
    intake,
    lanes,
    letters,
    mend,
    outbox,
    query,
    release,
)
from gateway.edge.ledger.engine import Operations, World, open_driver, read, snapshot, write


class SqlLedger(Operations):
    """The ledger's port (``core.ledger.Ledger``) and, below it, what only people's commands need."""

    # intake
    record_header = write(intake.record_header)
    record_chunk = write(intake.record_chunk)
    keep_early = write(intake.keep_early)
    early_chunks = read(intake.early_chunks)
    record_single = write(intake.record_single)
    complete_runs = read(intake.complete_runs)
    conclude_intake = write(accept.conclude_intake)
    expire_incomplete = write(accept.expire_incomplete)
    close_gathering = write(accept.close_gathering)
    refuse_message = write(outbox.refuse_message)
    cancel_run = write(release.cancel_run)
    withdraw = write(mend.withdraw)
    repay = write(mend.repay)

    # lanes
    lane_lease = write(lanes.lane_lease)
    lane_free = write(lanes.lane_free)
    ready_groups = read(filing.ready_groups)
    group_amounts = read(filing.group_amounts)
    file_batch = write(filing.file_batch)
    documents = read(lanes.documents)
    awaited = read(lanes.awaited)
    pay_lines = read(lanes.pay_lines)
    mark_sealed = write(lanes.mark_sealed)
    set_aside = write(mend.set_aside)
    mark_sending = write(lanes.mark_sending)
    mark_travelled = write(lanes.mark_travelled)
    save_cursor = write(lanes.save_cursor)
    doubt_sendings = write(lanes.doubt_sendings)
    mark_inquired = write(lanes.mark_inquired)
    open_inquiry = write(filing.open_inquiry)
    stop_lane = write(lanes.stop_lane)
    resume_lane = write(lanes.resume_lane)

    # collect
    record_inbound = write(collect.record_inbound)
    inbound = read(collect.inbound)
    close_inbound = write(collect.close_inbound)
    apply = write(collect.apply)
    document_by_reference = read(lanes.document_by_reference)

    # closing, telling
    close_runs = write(outbox.close_runs)
    outbox_page = read(outbox.outbox_page)
    outbox_done = write(outbox.outbox_done)
    alert = write(outbox.alert)
    faults = snapshot(outbox.faults)

    # people
    add_actor = write(actors.add_actor)
    propose_actor = write(actors.propose_actor)
    approve_actor = write(actors.approve_actor)
    decline_actor = write(actors.decline_actor)
    list_actors = read(actors.actors)
    authenticate = read(actors.authenticate)
    list_proposals = read(actors.proposals)
    withdraw_proposal = write(actors.withdraw_proposal)
    propose_release = write(release.propose_release)
    approve_release = write(release.approve_release)
    propose_held_run = write(release.propose_held_run)
    approve_held_run = write(release.approve_held_run)
    propose_free = write(release.propose_free)
    approve_free = write(release.approve_free)
    propose_letter = write(letters.propose_letter)
    approve_letter = write(letters.approve_letter)
    letter_preview = snapshot(letters.preview)
    propose_export = write(byhand.propose_export)
    approve_export = write(byhand.approve_export)
    exported_again = write(byhand.exported_again)
    list_arrived = read(byhand.arrived)
    propose_retake = write(byhand.propose_retake)
    approve_retake = write(byhand.approve_retake)
    decline = write(release.decline)
    close_parked = write(mend.close_parked)
    act = write(audit.append)
    audit_head = snapshot(audit.verify)

    # reading
    list_runs = read(query.runs)
    status = snapshot(query.status)
    progress = read(query.progress)
    report = snapshot(query.report)
    show = snapshot(query.show)
    list_lanes = read(query.lanes)
    list_parked = read(query.parked)
    list_held = read(query.held)
    totals = snapshot(query.totals)
    submitted = read(query.submitted)
    outcome = read(query.outcome)
    release_preview = read(query.release_preview)
    case_figures = read(query.case_figures)


__all__ = ["SqlLedger", "World", "open_driver"]
