"""Programs on GPUs: tables, launches, and the devices that run the text of codegen.cuda."""
