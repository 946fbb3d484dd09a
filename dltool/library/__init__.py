"""The words of recipes, one public class per file."""
