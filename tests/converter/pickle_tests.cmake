# Tests of reading PyTorch's files.
set(GRAFT_PICKLE_TESTS
  torch_bytes.cc zip_archive_test.cc pickle_test.cc torch_file_test.cc torch_merge_test.cc)
