# tokenizer.json to the tables of a .graft file.
target_sources(graft_converter PRIVATE tokenizer_json.cc tokenizer_steps.cc regex_dialect.cc)
