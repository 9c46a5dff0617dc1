"""Config and inputs -> Plan: what create and exec will do, as data. Nothing here makes a system call."""
