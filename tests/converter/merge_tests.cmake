# Tests of reading and merging.
set(GRAFT_MERGE_TESTS
  small_files.cc ../reference/lora_reference.cc ../reference/rotation_reference.cc merge_kinds_test.cc
  float_formats_test.cc merge_kernels_test.cc json_test.cc safetensors_test.cc checkpoint_test.cc
  adapter_maker.cc combine_test.cc nf4_base_test.cc merge_fixture_test.cc merge_laws_test.cc
  merge_errors_test.cc wrapped_modules_test.cc tied_embeddings_test.cc merge_checkpoint_test.cc
  adapter_rewriter.cc adapter_location_test.cc mlx_adapter_test.cc kohya_adapter_test.cc)
