"""Parts of models that translate, which stand in no list of layers."""
