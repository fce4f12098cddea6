# The reading and merging side of the converter.
set(GRAFT_MERGE_SOURCES
  tensor_source.cc parallel.cc merge_kernels.cc
  weight_file.cc strided_read.cc zip_archive.cc pickle.cc pickle_machine.cc pickle_calls.cc pickle_names.cc pickle_values.cc
  safetensors.cc torch_file.cc safetensors_writer.cc checkpoint.cc
  adapter_settings.cc adapter_config.cc mlx_config.cc adapter_keys.cc adapter_location.cc adapter_file.cc module_pattern.cc module_names.cc newer_names.cc underscored_names.cc mlx_targets.cc
  prepared_matrix.cc low_rank_rows.cc factor_forms.cc product_rows.cc scaled_rows.cc rotation.cc dora.cc tied_embeddings.cc 
  merge_plan.cc plan_lora.cc plan_products.cc plan_scaling.cc plan_ties.cc plan_parameters.cc plan_mlx.cc plan_kohya.cc replicated_layers.cc combine.cc nf4_base.cc merged_source.cc
  output_folder.cc config_changes.cc checkpoint_files.cc merge_checkpoint.cc)
