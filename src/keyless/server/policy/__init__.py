"""Policy as code: who may publish what, written down in files, compared with the store and carried out (D13).

`document` reads the files, `plan` says what differs, `service` carries a plan out in one transaction, `directory` does
so for files that are mounted beside the service.
"""
