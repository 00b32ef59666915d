"""What MageFlow's stores are held to: requirements, and real servers to try them on.

::

    servers   real servers on this machine, to be killed, frozen and restarted by tests
    stores    the requirements of the `Store` protocol, and what runs them

From a shell: `mageflow-conformance store URL`.
"""
