"""Counterpart banks for the demo, the tests and the benchmark, in a process of their own.

They read our files by code of their own (no adapter, no codec of the gateway is imported here), verify our seal, keep their own books and
answer as configured: a fault that the gateway's writer and reader share cannot hide behind them. No money is real, nor is any bank.

    python -m gateway.sandbox --config banks.json            run until SIGTERM
    python -m gateway.sandbox --config banks.json --books    print what every bank's books hold, as JSON
"""
