# Tests of quantizing, lowering and writing files.
set(GRAFT_LOWER_TESTS
  converted_file.cc ../reference/quantize_reference.cc
  adapted_model_test.cc damage_test.cc decoder_families_test.cc encode_test.cc image_files_test.cc layer_stack_ops_test.cc layer_stack_test.cc lowering_test.cc write_model_test.cc)
