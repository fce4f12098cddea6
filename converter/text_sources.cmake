# tokenizer.json to the tables of a .graft file.
add_library(graft_tokenizer_files STATIC input_file.cc json.cc json_parser.cc
  chat_files.cc sentencepiece_model.cc tokenizer_files.cc tokenizer_components.cc tokenizer_json.cc tokenizer_model.cc tokenizer_steps.cc
  tokenizer_template.cc regex_dialect.cc regex_classes.cc)
target_link_libraries(graft_tokenizer_files PUBLIC graft_build_flags graft_schema graft_headers PRIVATE graft_text_dependencies)
