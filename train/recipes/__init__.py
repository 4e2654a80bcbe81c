"""The training recipes, a TOML file a scheme; `in21k.train.config` says what each setting is."""
