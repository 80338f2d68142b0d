"""HTTP: routes, handlers, authentication, problem documents."""
