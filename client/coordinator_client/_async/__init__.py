"""One face of the client; written once in its waiting form, and generated in its blocking form."""
