from .models.loading import ImportedModel as ImportedModel
from .models.loading import load_model as load_model
from .models.saving import ModelArrays as ModelArrays
from .models.saving import save_model as save_model
from .models.saving import to_arrays as to_arrays
