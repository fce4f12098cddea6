# tokenizer.json to the tables of a .graft file.
target_sources(graft_converter PRIVATE chat_files.cc sentencepiece_model.cc tokenizer_files.cc tokenizer_components.cc tokenizer_json.cc tokenizer_model.cc tokenizer_steps.cc
  tokenizer_template.cc regex_dialect.cc regex_classes.cc)
