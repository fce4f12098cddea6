# The graft-convert command.
add_executable(graft-convert
  main.cc progress.cc
  commands/adapter_options.cc commands/convert.cc commands/convert_report.cc commands/failure.cc commands/inspect.cc
  commands/mapped_model.cc commands/merge.cc commands/verify.cc)
target_link_libraries(graft-convert PRIVATE graft_converter)
