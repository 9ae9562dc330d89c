"""The stages in the order of the data: intake, release, dispatch, travel, collect, telling.

Nothing is done in reaction to a message except to record it: every stage looks into the ledger, does what is due, and says how much it did.
``await`` goes only through ports, so the same stages run on real servers, in the demo and in the simulation.
"""
