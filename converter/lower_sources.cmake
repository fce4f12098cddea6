# Quantizing, lowering, writing the file.
target_sources(graft_converter PRIVATE
  base_hash.cc choose_formats.cc constant.cc describe_model.cc graph_builder.cc model_header.cc image_files.cc output_file.cc sentence_files.cc version.cc write_model.cc write_weights.cc
  lower/activation.cc lower/batch_norm.cc lower/bert.cc lower/decoder_config.cc lower/decoder_parts.cc lower/encoder.cc lower/gated_decoder.cc lower/gemma.cc lower/gpt2.cc lower/gpt_neox.cc
  lower/granite.cc lower/inline_lora.cc lower/layer_stack.cc lower/llama.cc lower/lower_layer_stack.cc lower/members.cc lower/module.cc lower/opt.cc lower/phi3.cc lower/qwen.cc
  lower/registry.cc lower/rope.cc lower/smollm3.cc lower/stack_task.cc lower/vit.cc
  quantize/damage.cc quantize/damage_kernels.cc quantize/encode.cc quantize/quantize_kernels.cc quantize/stored_format.cc)
set_source_files_properties(version.cc PROPERTIES
  COMPILE_DEFINITIONS GRAFT_CONVERTER_VERSION="${PROJECT_VERSION}")
include(${CMAKE_CURRENT_LIST_DIR}/executable.cmake)
