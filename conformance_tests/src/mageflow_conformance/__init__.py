"""What MageFlow's stores are held to: requirements, and real servers to try them on.

::

    servers     real servers on this machine, to be killed, frozen and restarted by tests
    proxy       a way to a server on which replies get lost
    processes   worker processes of a test's own, to be killed, frozen and stopped
    ledger      what really happened, a line for each thing; `witness` writes it in task bodies
    history     whether what ledger and records tell together is what was promised, G1 to G5
    flows       flows of every kind whose tasks write in the ledger, and what runs them
    sweep       a flow is run once for each point at which a process can die, with its death
    site        worker processes, and an app that watches them
    backends    the requirements of backends with the core, and what runs them
    stores      the requirements of the `Store` protocol, and what runs them

From a shell: `mageflow-conformance run BACKEND`, `mageflow-conformance store URL`.
"""
